package lambdaruntime_test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/lambdaruntime"
	"overplane.dev/leads/test/localdbtest"
)

// TestEveryFunctionAnswers boots the program of each folder in functions/ and
// sends it a real event, over a real engine.
//
// LEADS_BUILD may name a folder that "sam build" made: then these programs are
// booted, as they are deployed, where need be under qemu. Else they are built
// for this machine.
func TestEveryFunctionAnswers(t *testing.T) {
	endpoint := localdbtest.Start(t)
	key, made := populate(t, endpoint)
	const collection = "/api/crm/lead"
	member := collection + "/" + string(made)
	request := func(method, path, body string) []byte { return request(t, key, method, path, body) }
	// Each function with its event and what its answer holds, as JSON.
	functions := []struct {
		name  string
		event []byte
		holds []string
	}{
		{"create-lead", request("POST", collection, `{"city":"Zürich"}`), []string{`"statusCode":201`, "Zürich"}},
		{"retrieve-lead", request("GET", member, ""), []string{`"statusCode":200`, string(made)}},
		{"list-leads", request("GET", collection, ""), []string{`"statusCode":200`, string(made)}},
		{"update-lead", request("PATCH", member, `{"city":"Bern"}`), []string{`"statusCode":200`, "Bern"}},
		{"delete-lead", request("DELETE", member, ""), []string{`"statusCode":200`, "deleted"}},
		{"unmatched", request("GET", "/", ""), []string{`"statusCode":404`, "route_unknown", `"Request-Id":"the-request"`}},
		{"ingest-leads", []byte(`{"leads":[{"city":"Genf"}]}`), []string{"lead_"}},
		{"publish-changes", []byte(`{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"1",
			"NewImage":{"pk":{"S":"no lead"},"sk":{"S":"-"}}}}]}`), []string{`"batchItemFailures":[]`}},
	}
	var names []string
	for _, f := range functions {
		names = append(names, f.name)
		t.Run(f.name, func(t *testing.T) {
			booted := boot(t, program(t, f.name), endpoint)
			out, err := booted.Invoke(t.Context(), "the-request", f.event)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range f.holds {
				if !strings.Contains(string(out), want) {
					t.Errorf("answered %s, want an answer with %s", out, want)
				}
			}
			var failed *lambdaruntime.FunctionError
			if _, err := booted.Invoke(t.Context(), "another", []byte(`"of no kind"`)); !errors.As(err, &failed) {
				t.Errorf("an event of no kind: %v, want an error of the function", err)
			}
			if _, err := booted.Invoke(t.Context(), "a third", f.event); err != nil {
				t.Errorf("after that error: %v", err)
			}
		})
	}
	folders, err := filepath.Glob("../../functions/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, main := range folders {
		if name := filepath.Base(filepath.Dir(main)); !slices.Contains(names, name) {
			t.Errorf("there is no event for the function %s: add one to this test", name)
		}
	}
}

// populate makes a table with a key and a lead of its account.
func populate(t *testing.T, endpoint string) (key string, id lead.ID) {
	t.Helper()
	table := dynamo.New(dynamodb.New(dynamodb.Options{
		Region:       "local",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: &endpoint,
	}, dynamo.Configure), "leads")
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := lead.Tenant{Account: "boot", Mode: lead.Test}
	key, record := apikey.NewKey(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	made, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	return key, made.ID
}

// request is an event of an HTTP API.
func request(t *testing.T, key, method, path, body string) []byte {
	t.Helper()
	return marshal(t, map[string]any{
		"version": "2.0", "rawPath": path, "body": body,
		"headers":        map[string]string{"authorization": "Bearer " + key, "content-type": "application/json"},
		"requestContext": map[string]any{"stage": "$default", "http": map[string]string{"method": method}},
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// boot starts a function's program as Lambda would.
func boot(t *testing.T, command []string, endpoint string) *lambdaruntime.Function {
	t.Helper()
	f, err := lambdaruntime.Start(lambdaruntime.Options{
		Command: command,
		Log:     t.Output(),
		Timeout: time.Minute, // qemu on a busy machine
		Env: []string{
			"LEADS_TABLE=leads", "AWS_ENDPOINT_URL_DYNAMODB=" + endpoint, "SSL_CERT_DIR=/nonexistent",
			"AWS_REGION=local", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
			"LEADS_ACCOUNT=boot", "LEADS_MODE=test", "GOMAXPROCS=1",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	init, err := f.Ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", init)
	return f
}

// program returns the command that runs a function on this machine.
func program(t *testing.T, name string) []string {
	t.Helper()
	built := os.Getenv("LEADS_BUILD")
	if built == "" {
		path := filepath.Join(t.TempDir(), "bootstrap")
		build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", path, "../../functions/"+name)
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return []string{path}
	}
	path := filepath.Join(built, resource(name), "bootstrap")
	file, err := elf.Open(path)
	if err != nil {
		t.Fatalf("%v: run \"sam build\" first", err)
	}
	defer file.Close()
	if file.Machine == elf.EM_AARCH64 && runtime.GOARCH != "arm64" {
		return []string{"qemu-aarch64-static", path}
	}
	return []string{path}
}

// resource returns the name in template.yaml of a folder in functions/.
func resource(folder string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(folder, "-") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}
