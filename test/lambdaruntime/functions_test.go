package lambdaruntime_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/lambdaruntime"
	"overplane.dev/leads/test/localdbtest"
)

// TestEveryFunctionAnswers starts the program of each folder in functions/ and
// sends it a real event. The database is a real engine.
//
// If LEADS_BUILD names a folder that "sam build" made, the test starts the
// programs in it, under qemu if they are for another processor.
func TestEveryFunctionAnswers(t *testing.T) {
	endpoint := localdbtest.Start(t)
	key, existing := createTable(t, endpoint)
	const collection = "/api/crm/lead"
	member := collection + "/" + string(existing)
	request := func(method, path, body string) []byte { return request(t, key, method, path, body) }
	// Each function with an event and parts of its JSON response.
	functions := []struct {
		name  string
		event []byte
		want  []string
	}{
		{"create-lead", request("POST", collection, `{"city":"Zürich"}`), []string{`"statusCode":201`, "Zürich"}},
		{"retrieve-lead", request("GET", member, ""), []string{`"statusCode":200`, string(existing)}},
		{"list-leads", request("GET", collection, ""), []string{`"statusCode":200`, string(existing)}},
		{"update-lead", request("PATCH", member, `{"city":"Bern"}`), []string{`"statusCode":200`, "Bern"}},
		{"delete-lead", request("DELETE", member, ""), []string{`"statusCode":200`, "deleted"}},
		{"upsert-lead", request("PUT", collection+"?match=email_id", `{"email_id":"ada@example.org"}`), []string{`"statusCode":201`, "ada@example.org"}},
		{"batch-leads", request("POST", collection+"/batch", `{"operations":[{"method":"create","lead":{"city":"Biel"}}]}`), []string{`"statusCode":200`, "Biel"}},
		{"unmatched", request("GET", "/", ""), []string{`"statusCode":404`, "route_unknown", `"Request-Id":"the-request"`}},
		{"docs", request("GET", "/docs", ""), []string{`"statusCode":200`, "rapi-doc", `"Request-Id":"the-request"`}},
		{"ingest-leads", []byte(`{"leads":[{"city":"Genf"}]}`), []string{"lead_"}},
		{"publish-changes", []byte(`{"Records":[{"eventSource":"aws:dynamodb","eventName":"INSERT","dynamodb":{"SequenceNumber":"1",
			"NewImage":{"pk":{"S":"no lead"},"sk":{"S":"-"}}}}]}`), []string{`"batchItemFailures":[]`}},
		{"check-release", []byte(`{"DeploymentId":"d","LifecycleEventHookExecutionId":"e"}`), []string{"null"}},
		{"audit-leads", []byte(`{"time":"2026-03-01T12:00:00Z","detail":{}}`), []string{"null"}},
	}
	// Answers the calls of check-release to Lambda and CodeDeploy.
	services := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"id":"lead_1","lead_name":"Release check","data":[{"id":"lead_1"}]}`)
	}))
	defer services.Close()
	var names []string
	for _, f := range functions {
		names = append(names, f.name)
		t.Run(f.name, func(t *testing.T) {
			function := start(t, program(t, f.name), endpoint, "AWS_ENDPOINT_URL="+services.URL, "CREATE_LEAD=a", "RETRIEVE_LEAD=b", "LIST_LEADS=c", "DELETE_LEAD=d")
			out, err := function.Invoke(t.Context(), "the-request", f.event)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range f.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the response is %s, want one with %s", out, want)
				}
			}
			var failed *lambdaruntime.FunctionError
			if _, err := function.Invoke(t.Context(), "another", []byte(`"unknown"`)); !errors.As(err, &failed) {
				t.Errorf("an unknown event: %v, want an error of the function", err)
			}
			if _, err := function.Invoke(t.Context(), "a third", f.event); err != nil {
				t.Errorf("after that error: %v", err)
			}
		})
	}
	for _, name := range functionNames(t) {
		if !slices.Contains(names, name) {
			t.Errorf("there is no event for the function %s: add one to this test", name)
		}
	}
}

// TestIngestLeadsMakesItsAccountKnown starts ingest-leads for an account without an
// API key. "leads audit -all" must find it.
func TestIngestLeadsMakesItsAccountKnown(t *testing.T) {
	endpoint := localdbtest.Start(t)
	createTable(t, endpoint)
	start(t, program(t, "ingest-leads"), endpoint, "LEADS_ACCOUNT=without-key")
	tenants, err := dynamo.New(newClient(endpoint), "leads").Tenants(t.Context())
	if want := (lead.Tenant{Account: "without-key", Mode: lead.Test}); err != nil || !slices.Contains(tenants, want) {
		t.Errorf("the tenants are %v, %v, want also %v", tenants, err, want)
	}
}

// TestFunctionsRefuseATableOfANewerVersion starts functions with a table of the next
// format. They answer with an error, and the log says what to do.
func TestFunctionsRefuseATableOfANewerVersion(t *testing.T) {
	endpoint := localdbtest.Start(t)
	key, existing := createTable(t, endpoint)
	_, err := newClient(endpoint).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String("leads"),
		Key:                       map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "format"}, "sk": &types.AttributeValueMemberS{Value: "format"}},
		UpdateExpression:          aws.String("SET v = v + :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string][]byte{
		"retrieve-lead": request(t, key, "GET", "/api/crm/lead/"+string(existing), ""),
		"ingest-leads":  []byte(`{"leads":[{"city":"Genf"}]}`),
		"audit-leads":   []byte(`{"time":"2026-03-01T12:00:00Z","detail":{}}`),
	} {
		var log bytes.Buffer
		t.Run(name, func(t *testing.T) {
			function := startWithLog(t, program(t, name), endpoint, &log)
			if out, err := function.Invoke(t.Context(), "request", event); err == nil && !strings.Contains(string(out), "api_error") {
				t.Errorf("the response is %s, want an error", out)
			}
		})
		if !strings.Contains(log.String(), "use the newest release of leads") {
			t.Errorf("the log of %s does not say what to do:\n%s", name, log.String())
		}
	}
}

// createTable creates a table with an API key and a lead of its account.
func createTable(t *testing.T, endpoint string) (key string, id lead.ID) {
	t.Helper()
	table := dynamo.New(newClient(endpoint), "leads")
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := lead.Tenant{Account: "boot", Mode: lead.Test}
	key, record := apikey.NewKey(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	created, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	return key, created.ID
}

func newClient(endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "local",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: &endpoint,
	}, dynamo.Configure)
}

// request returns the event of an HTTP API for a request.
func request(t *testing.T, key, method, path, body string) []byte {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "rawQueryString": query, "body": body,
		"headers":        map[string]string{"authorization": "Bearer " + key, "content-type": "application/json"},
		"requestContext": map[string]any{"stage": "$default", "http": map[string]string{"method": method}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// start starts a function's program as Lambda would, with further variables.
func start(t *testing.T, command []string, endpoint string, env ...string) *lambdaruntime.Function {
	t.Helper()
	return startWithLog(t, command, endpoint, t.Output(), env...)
}

func startWithLog(t *testing.T, command []string, endpoint string, log io.Writer, env ...string) *lambdaruntime.Function {
	t.Helper()
	f, err := lambdaruntime.Start(lambdaruntime.Options{
		Command: command,
		Log:     log,
		Timeout: time.Minute, // qemu on a busy machine
		Env: append([]string{
			"LEADS_TABLE=leads", "AWS_ENDPOINT_URL_DYNAMODB=" + endpoint, "SSL_CERT_DIR=/nonexistent",
			"AWS_REGION=local", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
			"LEADS_ACCOUNT=boot", "LEADS_MODE=test", "GOMAXPROCS=1",
		}, env...),
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
