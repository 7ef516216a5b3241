package runtimeapi_test

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/engine/enginetest"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/runtimeapi"
)

// TestEveryFunctionAnswers boots the program of each folder in functions/ and
// sends it the event of a real request, over a real engine.
//
// LEADS_BUILD may name a folder that "sam build" made: then these programs are
// booted, as they are deployed, where need be under qemu. Else they are built
// for this machine.
func TestEveryFunctionAnswers(t *testing.T) {
	endpoint := enginetest.Start(t)
	table := dynamo.New(dynamodb.New(dynamodb.Options{
		Region:       "local",
		Credentials:  aws.CredentialsProviderFunc(anyCredentials),
		BaseEndpoint: &endpoint,
	}, dynamo.Configure), "leads")
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := lead.Tenant{Account: "boot", Mode: lead.Test}
	key, record := apikey.Mint(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	const collection, member = "/api/crm/lead", "/api/crm/lead/{id}"
	events := map[string]struct {
		method, path, body string
		status             int
		holds              string
	}{
		"create-lead":   {"POST", collection, `{"city":"Zürich"}`, 201, `"city":"Zürich"`},
		"retrieve-lead": {"GET", member, "", 200, `"city":null`},
		"list-leads":    {"GET", collection, "", 200, `"has_more":false`},
		"update-lead":   {"PATCH", member, `{"city":"Bern"}`, 200, `"city":"Bern"`},
		"delete-lead":   {"DELETE", member, "", 200, `"deleted":true`},
		"unmatched":     {"GET", "/", "", 404, "route_unknown"},
	}
	folders, err := os.ReadDir("../../functions")
	if err != nil {
		t.Fatal(err)
	}
	for i, folder := range folders {
		name := folder.Name()
		t.Run(name, func(t *testing.T) {
			e, ok := events[name]
			if !ok {
				t.Fatalf("there is no event for the function %s: add one to this test", name)
			}
			made, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.Once{})
			if err != nil {
				t.Fatal(err)
			}
			f := boot(t, program(t, name), endpoint)
			event, err := json.Marshal(map[string]any{
				"version": "2.0", "body": e.body,
				"rawPath":        strings.ReplaceAll(e.path, "{id}", string(made.ID)),
				"headers":        map[string]string{"authorization": "Bearer " + key, "content-type": "application/json"},
				"requestContext": map[string]any{"stage": "$default", "http": map[string]string{"method": e.method}},
			})
			if err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprint("request-", i)
			out, err := f.Invoke(t.Context(), id, event)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				StatusCode int
				Headers    map[string]string
				Body       string
			}
			if err := json.Unmarshal(out, &answer); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != e.status || !strings.Contains(answer.Body, e.holds) {
				t.Errorf("answered %s, want status %d and a body with %s", out, e.status, e.holds)
			}
			if answer.Headers["Request-Id"] != id {
				t.Errorf("Request-Id is %q, want Lambda's, %q", answer.Headers["Request-Id"], id)
			}

			var failed *runtimeapi.FunctionError
			if _, err := f.Invoke(t.Context(), "no-http", []byte(`{"Records":[]}`)); !errors.As(err, &failed) {
				t.Errorf("an event of no API: %v, want an error of the function", err)
			}
			if _, err := f.Invoke(t.Context(), id, event); err != nil {
				t.Errorf("after that error: %v", err)
			}
		})
	}
}

// boot starts a function's program as Lambda would.
func boot(t *testing.T, command []string, endpoint string) *runtimeapi.Function {
	t.Helper()
	f, err := runtimeapi.Start(runtimeapi.Options{
		Command: command,
		Log:     t.Output(),
		Timeout: time.Minute, // qemu on a busy machine
		Env: []string{
			"LEADS_TABLE=leads", "AWS_ENDPOINT_URL_DYNAMODB=" + endpoint, "SSL_CERT_DIR=/nonexistent",
			"AWS_REGION=local", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
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

func anyCredentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
}
