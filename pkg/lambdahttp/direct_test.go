package lambdahttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// functions are the functions of all operations, with one table.
type functions struct {
	table  *dynamo.Table
	meter  *dynamotest.Meter
	log    strings.Builder
	byName map[string]lambda.Handler
}

func newFunctions(t *testing.T) *functions {
	t.Helper()
	f := &functions{byName: map[string]lambda.Handler{}}
	f.table, f.meter = dynamotest.New(t)
	leads := api.New(api.Config{Leads: f.table, Keys: f.table, Log: slog.New(slog.NewJSONHandler(&f.log, nil))})
	for _, route := range api.Routes() {
		f.byName[route.Name] = lambdahttp.New(leads.Handler(route), route)
	}
	return f
}

// call returns a function's answer, or "errorType: errorMessage" as Lambda
// reports its error.
func (f *functions) call(t *testing.T, function, event string) string {
	t.Helper()
	return f.callIn(t, t.Context(), function, event)
}

func (f *functions) callIn(t *testing.T, ctx context.Context, function, event string) string {
	t.Helper()
	out, err := f.byName[function].Invoke(ctx, []byte(event))
	var e messages.InvokeResponse_Error
	switch {
	case errors.As(err, &e):
		return e.Type + ": " + e.Message
	case err != nil:
		return "error: " + err.Error()
	}
	return string(out)
}

// get returns the body of the HTTP answer to a GET with this key.
func (f *functions) get(t *testing.T, function, key, path, query string) string {
	t.Helper()
	event := fmt.Sprintf(`{"version":"2.0","rawPath":%q,"rawQueryString":%q,"headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":"GET"}}}`, path, query, key)
	var answer struct{ Body string }
	if err := json.Unmarshal([]byte(f.call(t, function, event)), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Body
}

func TestDirectCall(t *testing.T) {
	const acme = `"account":"acme","mode":"live"`
	f := newFunctions(t)
	text, key := apikey.NewKey(lead.Tenant{Account: "acme", Mode: lead.Live}, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := f.table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	created := f.call(t, "create-lead", `{`+acme+`,"lead":{"lead_name":"Ada"},"idempotency_key":"k"}`)
	var l struct{ ID string }
	if err := json.Unmarshal([]byte(created), &l); err != nil || l.ID == "" {
		t.Fatalf("created %s", created)
	}
	id := fmt.Sprintf(`"id":%q`, l.ID)

	t.Run("answers like HTTP", func(t *testing.T) {
		if got, want := f.call(t, "retrieve-lead", `{`+acme+`,`+id+`}`), f.get(t, "retrieve-lead", text, "/api/crm/lead/"+l.ID, ""); got != want || got != created {
			t.Errorf("retrieved %s, HTTP says %s", got, want)
		}
		if got, want := f.call(t, "list-leads", `{`+acme+`,"limit":1,"offset":0}`), f.get(t, "list-leads", text, "/api/crm/lead", "limit=1&offset=0"); got != want || !strings.Contains(got, l.ID) {
			t.Errorf("listed %s, HTTP says %s", got, want)
		}
	})
	t.Run("creates once with an idempotency_key that differs from that of HTTP", func(t *testing.T) {
		if again := f.call(t, "create-lead", `{`+acme+`,"lead":{"lead_name":"Ada"},"idempotency_key":"k"}`); again != created {
			t.Errorf("the second answer is %s", again)
		}
		httpKey := lead.IdempotencyKey{Source: "http", Key: "k", TTL: time.Hour}
		if _, replayed, err := f.table.Create(t.Context(), key.Tenant, lead.Defaults(), httpKey); replayed || err != nil {
			t.Errorf("the key k of HTTP: replayed %v, %v", replayed, err)
		}
		if got := f.call(t, "create-lead", `{`+acme+`,"lead":{"lead_name":"Bob"},"idempotency_key":"k"}`); !strings.HasPrefix(got, "idempotency_key_reused: ") {
			t.Errorf("answer %s", got)
		}
	})
	t.Run("creates a lead without fields", func(t *testing.T) {
		if got := f.call(t, "create-lead", `{"account":"other","mode":"test"}`); !strings.Contains(got, `"status":"Lead"`) {
			t.Errorf("answer %s", got)
		}
	})
	t.Run("updates and deletes at a version", func(t *testing.T) {
		for _, c := range []struct{ function, event, want string }{
			{"update-lead", `{` + acme + `,` + id + `,"lead":{"status":"Open"},"if_match":1}`, `"status":"Open"`},
			{"update-lead", `{` + acme + `,` + id + `,"lead":{"status":"Open"},"if_match":1}`, "precondition_failed: The lead is at another version"},
			{"update-lead", `{` + acme + `,` + id + `,"lead":{"status":"Open"},"if_match":"x"}`, "precondition_failed: If-Match holds no strong"},
			{"upsert-lead", `{` + acme + `,"match":"email_id","lead":{"email_id":"eve@example.org"},"if_match":1}`, "resource_missing: No lead has this e-mail address."},
			{"upsert-lead", `{` + acme + `,"match":"email_id","lead":{"email_id":"eve@example.org"}}`, `{"id":"lead_`},
			{"upsert-lead", `{` + acme + `,"match":"email_id","lead":{"email_id":"eve@example.org","city":"Bonn"},"if_match":1}`, `{"id":"lead_`},
			{"upsert-lead", `{` + acme + `,"match":"email_id","lead":{"email_id":"eve@example.org"},"if_match":1}`, "precondition_failed: "},
			{"upsert-lead", `{` + acme + `,"lead":{"email_id":"eve@example.org"}}`, "parameter_invalid: Send match=email_id"},
			{"upsert-lead", `{` + acme + `,"match":"phone","lead":{"email_id":"eve@example.org"}}`, "parameter_invalid: Send email_id for match"},
			{"upsert-lead", `{` + acme + `,"match":1}`, "parameter_invalid: Send a string for match."},
			{"upsert-lead", `{` + acme + `,"match":"email_id"}`, "parameter_invalid: Send the e-mail address"},
			{"retrieve-lead", `{` + acme + `,` + id + `,"if_match":"\"1\""}`, "precondition_failed: "},
			{"delete-lead", `{` + acme + `,` + id + `,"if_match":"\"7\""}`, "precondition_failed: "},
			{"delete-lead", `{` + acme + `,` + id + `,"if_match":"\"2\", \"9\""}`, `"deleted":true`},
			{"delete-lead", `{` + acme + `,` + id + `}`, "resource_missing: "},
		} {
			if got := f.call(t, c.function, c.event); !strings.Contains(got, c.want) {
				t.Errorf("%s %s: %s, want %s", c.function, c.event, got, c.want)
			}
		}
	})
	t.Run("fails with the code of the HTTP answer", func(t *testing.T) {
		for _, c := range []struct{ function, event, want string }{
			{"create-lead", `{` + acme + `,"lead":{"phon":1,"email_id":"x"}}`, "parameter_unknown: \"phon\": No field has this name; did you mean phone? Send an e-mail address such as name@example.com for email_id, or an empty string."},
			{"create-lead", `{` + acme + `,"lead":"text"}`, "json_invalid: "},
			{"create-lead", `{` + acme + `,"lead":null}`, "json_invalid: "},
			{"create-lead", `{` + acme + `,"lead":{"city":"\ud800"}}`, "json_invalid: "},
			{"create-lead", `{` + acme + `,"lead":{"city":"` + strings.Repeat("x", 141) + `"}}`, "parameter_too_long: "},
			{"create-lead", `{` + acme + `,"lead":{"city":"` + strings.Repeat("x", 128<<10) + `"}}`, "body_too_large: "},
			{"create-lead", `{` + acme + `,"lead":{},"idempotency_key":""}`, "parameter_invalid: "},
			{"create-lead", `{` + acme + `,"lead":{},"idempotency_key":"\ud800"}`, "parameter_invalid: Send a string for idempotency_key."},
			{"create-lead", `{` + acme + `,"lead":{},"idempotency_key":7}`, "parameter_invalid: Send a string for idempotency_key."},
			{"retrieve-lead", `{` + acme + `}`, "parameter_invalid: Send a string for id."},
			{"retrieve-lead", `{` + acme + `,"id":""}`, "resource_missing: "},
			{"retrieve-lead", `{` + acme + `,"id":"../x?y=1#z"}`, "resource_missing: "},
			{"retrieve-lead", `{"account":"acme","mode":"test",` + id + `}`, "resource_missing: "},
			{"list-leads", `{` + acme + `,"limit":0}`, "parameter_invalid: "},
			{"list-leads", `{` + acme + `,"limit":"5"}`, "parameter_invalid: "},
			{"list-leads", `{` + acme + `,"limit":101,"offset":-1}`, "parameter_invalid: Send limit as a whole number from 1 to 100, in plain digits. Send offset"},
			{"list-leads", `{` + acme + `,"lead":{}}`, "parameter_unknown: \"lead\": A direct call of list-leads takes no such member: it takes account, mode, limit, offset, status, lead_owner, email_id, created_at, starting_after, ending_before."},
			{"list-leads", `{` + acme + `,"status":7}`, "parameter_invalid: Send a string for status."},
			{"list-leads", `{` + acme + `,"email_id":"x"}`, "parameter_invalid: Send an e-mail address"},
			{"list-leads", `{` + acme + `,"status":"a","lead_owner":"b"}`, "parameter_invalid: Send either status or lead_owner, not both."},
			{"list-leads", `{` + acme + `,"starting_after":"x"}`, "parameter_invalid: Send the id of a lead for starting_after."},
			{"list-leads", `{` + acme + `,"created_at":"2024-01-15T09:30:00Z"}`, "parameter_invalid: Send an object such as"},
			{"list-leads", `{` + acme + `,"created_at":null}`, "parameter_invalid: Send an object such as"},
			{"list-leads", `{` + acme + `,"created_at":{"gte":7}}`, "parameter_invalid: Send an object such as"},
			{"list-leads", `{` + acme + `,"created_at":{"gte":null}}`, "parameter_invalid: Send a time with zone"},
			{"list-leads", `{` + acme + `,"created_at":{"eq":"2024-01-15T09:30:00Z"}}`, "parameter_unknown: "},
			{"list-leads", `{"account":"Acme","mode":"live"}`, "parameter_invalid: Send the name of an account"},
			{"list-leads", `{"account":"acme","mode":"prod"}`, "parameter_invalid: Send test or live for mode."},
			{"list-leads", `{"account":"acme"}`, "parameter_invalid: Send a string for mode."},
			{"list-leads", `{"mode":"live"}`, "parameter_invalid: Send a string for account."},
			{"list-leads", `{"account":null,"mode":"live"}`, "parameter_invalid: Send a string for account."},
		} {
			if got := f.call(t, c.function, c.event); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s %.200s: %.300s, want %s", c.function, c.event, got, c.want)
			}
		}
	})
	t.Run("runs a batch", func(t *testing.T) {
		for _, c := range []struct{ event, want string }{
			// The key k of direct calls was used with another lead above.
			{`"operations":[{"method":"create","lead":{"lead_name":"Ada"},"idempotency_key":"k"},{"method":"create","lead":{"lead_name":"Bob"},"idempotency_key":"k"}]`,
				`{"results":[{"status":201,"etag":"\"1\"","lead":` + created + `,"replayed":true},{"status":409,"error":{"type":"idempotency_error",`},
			{`"operations":[]`, "parameter_invalid: Send a list of 1 to 100 operations."},
			{`"operations":[{"method":"get"}]`, "parameter_invalid: Send create"},
			{`"operations":null`, "parameter_invalid: "},
			{`"lead":{}`, "parameter_unknown: "},
			{`"operations":[{"method":"create","lead":{"city":"` + strings.Repeat("x", 1<<20) + `"}}]`, "body_too_large: Send a body of at most 1048576 bytes."},
		} {
			if got := f.call(t, "batch-leads", `{`+acme+`,`+c.event+`}`); !strings.HasPrefix(got, c.want) {
				t.Errorf("%.200s: %.300s, want %s", c.event, got, c.want)
			}
		}
		if got := f.call(t, "batch-leads", `{`+acme+`}`); !strings.HasPrefix(got, "parameter_invalid: ") {
			t.Errorf("without operations: %s", got)
		}
	})
	t.Run("fails with unavailable when the database cannot be reached", func(t *testing.T) {
		f.meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused")
		}
		defer func() { f.meter.Fault = nil }()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if got := f.callIn(t, ctx, "retrieve-lead", `{`+acme+`,`+id+`}`); !strings.HasPrefix(got, "unavailable: ") {
			t.Errorf("answer %s", got)
		}
	})
	t.Run("is logged with its tenant", func(t *testing.T) {
		if !strings.Contains(f.log.String(), `"route":"list-leads","status":200,`) || !strings.Contains(f.log.String(), `"account":"acme","mode":"live","key_id":""`) {
			t.Errorf("log %s", f.log.String())
		}
	})
}

// listStore is a store that remembers the last query of a list.
type listStore struct {
	lead.Store
	query lead.ListQuery
}

func (s *listStore) List(_ context.Context, _ lead.Tenant, q lead.ListQuery) (lead.Page, error) {
	s.query = q
	return lead.Page{}, nil
}

func TestDirectListParameters(t *testing.T) {
	store := &listStore{}
	f := lambdahttp.New(api.New(api.Config{Leads: store}).Handler(api.ListLeads), api.ListLeads)
	const id lead.ID = "lead_01hm679nv14tff59tdwh9edd1r"
	call := `{"account":"acme","mode":"test","limit":3,"email_id":"a+b@c","created_at":{"gte":"2024-01-15T11:00:00+02:00","lt":"2024-01-16T00:00:00Z"},"starting_after":"` + string(id) + `"}`
	if out, err := f.Invoke(t.Context(), []byte(call)); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	field := lead.FieldNamed("email_id")
	if q := store.query; q.Filter == nil || *q.Filter != (lead.Filter{Field: field, Value: "a+b@c"}) || q.Limit != 3 || q.StartingAfter != id ||
		!q.From.Equal(time.Date(2024, 1, 15, 9, 0, 0, 0, time.UTC)) || !q.To.Equal(time.Date(2024, 1, 16, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the query is %+v", q)
	}
}

// TestForgedCalls: an HTTP request is never trusted like a direct call, whatever it
// contains, and a direct call is not taken for an HTTP request.
func TestForgedCalls(t *testing.T) {
	const direct = `{"account":"acme","mode":"live","lead":{}}`
	inBody, _ := json.Marshal(direct)
	inHeader, _ := json.Marshal(direct)
	for outcome, event := range map[string]string{
		"a request whose body is a direct call":          `{"version":"2.0","rawPath":"/api/crm/lead","headers":{},"requestContext":{"http":{"method":"POST"}},"body":` + string(inBody) + `}`,
		"a request whose headers and query are like one": `{"version":"2.0","rawPath":"/api/crm/lead","rawQueryString":"account=acme&mode=live","headers":{"account":"acme","mode":"live","x":` + string(inHeader) + `},"requestContext":{"http":{"method":"POST"}}}`,
		"a request of format 1.0 that is like one":       `{"version":"1.0","path":"/api/crm/lead","httpMethod":"POST","headers":{},"multiValueHeaders":{},"queryStringParameters":{"account":"acme","mode":"live"},"requestContext":{"account":"acme","mode":"live"}}`,
		"a request whose context and path are like one":  `{"version":"2.0","rawPath":"/api/crm/lead","headers":{},"pathParameters":{"account":"acme","mode":"live"},"stageVariables":{"account":"acme","mode":"live"},"requestContext":{"account":"acme","mode":"live","http":{"method":"POST"}}}`,
	} {
		t.Run(outcome+" needs a key", func(t *testing.T) {
			f := newFunctions(t)
			if got := f.call(t, "create-lead", event); !strings.Contains(got, `"statusCode":401`) {
				t.Errorf("answer %s", got)
			}
			if requests := f.meter.Requests(); len(requests) > 0 {
				t.Errorf("there were requests to the database: %v", requests)
			}
		})
	}
	for outcome, event := range map[string]string{
		"a direct call with members of a request": `{"account":"acme","mode":"live","version":"2.0","rawPath":"/api/crm/lead","headers":{},"requestContext":{"http":{"method":"POST"}}}`,
		"a direct call with requestContext":       `{"account":"acme","mode":"live","requestContext":{}}`,
		"a direct call with a key":                `{"account":"acme","mode":"live","headers":{"authorization":"Bearer x"}}`,
		"a direct call with a capital letter":     `{"Account":"acme","mode":"live"}`,
		"a name that occurs twice":                `{"account":"acme","account":"other","mode":"live"}`,
		"an event of neither kind":                `{"lead":{}}`,
		"a request without a method":              `{"version":"2.0","rawPath":"/api/crm/lead","requestContext":{"http":{}}}`,
	} {
		t.Run(outcome+" is refused", func(t *testing.T) {
			f := newFunctions(t)
			got := f.call(t, "create-lead", event)
			if !strings.HasPrefix(got, "parameter_unknown: ") && !strings.HasPrefix(got, "error: the event is not an API Gateway event") && !strings.HasPrefix(got, "parameter_invalid: ") {
				t.Errorf("answer %s", got)
			}
			if requests := f.meter.Requests(); len(requests) > 0 {
				t.Errorf("there were requests to the database: %v", requests)
			}
		})
	}
	t.Run("a function without a route takes no direct call", func(t *testing.T) {
		_, err := lambdahttp.New(api.New(api.Config{}).Handler()).Invoke(t.Context(), []byte(direct))
		if err == nil {
			t.Error("no error")
		}
	})
}

// TestDirectSamples calls the functions with the sample events in the folder events,
// which are for sam local invoke.
func TestDirectSamples(t *testing.T) {
	f := newFunctions(t)
	for _, c := range []struct{ function, event, want string }{
		{"create-lead", "direct-create", `"lead_name":"Ada Lovelace"`},
		{"list-leads", "direct-list", `"total":1}`},
		{"retrieve-lead", "direct-retrieve", "resource_missing: "},
		{"update-lead", "direct-update", "resource_missing: "},
		{"delete-lead", "direct-delete", "resource_missing: "},
		{"upsert-lead", "direct-upsert", `"email_id":"grace@example.org"`},
		{"batch-leads", "direct-batch", `"lead_name":"Grace Hopper"`},
	} {
		event, err := os.ReadFile("../../events/" + c.event + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if got := f.call(t, c.function, string(event)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.event, got, c.want)
		}
	}
}
