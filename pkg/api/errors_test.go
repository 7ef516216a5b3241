package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// failingStore is a store whose methods all call fail and return its error.
type failingStore struct{ fail func() error }

func (s failingStore) Create(context.Context, lead.Tenant, lead.Values, lead.IdempotencyKey) (lead.Lead, bool, error) {
	return lead.Lead{}, false, s.fail()
}

func (s failingStore) CreateMany(_ context.Context, _ lead.Tenant, requests []lead.CreateRequest) []lead.CreateResult {
	return slices.Repeat([]lead.CreateResult{{Err: s.fail()}}, len(requests))
}

func (s failingStore) Retrieve(context.Context, lead.Tenant, lead.ID) (lead.Lead, error) {
	return lead.Lead{}, s.fail()
}

func (s failingStore) List(context.Context, lead.Tenant, lead.ListQuery) (lead.Page, error) {
	return lead.Page{}, s.fail()
}

func (s failingStore) Update(context.Context, lead.Tenant, lead.ID, []lead.Change, lead.Precondition) (lead.Lead, error) {
	return lead.Lead{}, s.fail()
}

func (s failingStore) Upsert(context.Context, lead.Tenant, []lead.Change, lead.Precondition) (lead.Lead, bool, error) {
	return lead.Lead{}, false, s.fail()
}

func (s failingStore) Delete(context.Context, lead.Tenant, lead.ID, lead.Precondition) error {
	return s.fail()
}

func (s failingStore) FindKey(context.Context, string) (apikey.Key, error) {
	return apikey.Key{}, s.fail()
}

const (
	noID     = "lead_00000000000000000000000000"
	someLead = collection + "/" + noID
)

// pathOf returns a path of the route.
func pathOf(route api.Route) string { return strings.Replace(route.Path, "{id}", noID, 1) }

// TestStatusOfStoreErrors lets a store fail in every documented way.
func TestStatusOfStoreErrors(t *testing.T) {
	w := newFixture(t)
	throttled := &lead.UnavailableError{Throttled: true, RetryAfter: 300 * time.Millisecond, Err: errors.New(internals)}
	unavailable := &lead.UnavailableError{RetryAfter: 1001 * time.Millisecond, Err: errors.New(internals)}
	for _, c := range []struct {
		outcome string
		route   api.Route
		err     error
		status  int
		code    string
		retry   string // Retry-After, in whole seconds and never too few
	}{
		{"no lead to retrieve", api.RetrieveLead, lead.ErrNotFound, 404, "resource_missing", ""},
		{"no lead to update", api.UpdateLead, lead.ErrNotFound, 404, "resource_missing", ""},
		{"no lead to delete", api.DeleteLead, lead.ErrNotFound, 404, "resource_missing", ""},
		{"a stale update", api.UpdateLead, lead.ErrPreconditionFailed, 412, "precondition_failed", ""},
		{"a stale delete", api.DeleteLead, lead.ErrPreconditionFailed, 412, "precondition_failed", ""},
		{"a key that was used with other values", api.CreateLead, lead.ErrKeyReused, 409, "idempotency_key_reused", ""},
		{"a key that is in use", api.CreateLead, lead.ErrKeyInUse, 409, "idempotency_key_in_use", ""},
		{"a throttled create", api.CreateLead, throttled, 429, "rate_limited", "1"},
		{"a throttled retrieve", api.RetrieveLead, throttled, 429, "rate_limited", "1"},
		{"a throttled list", api.ListLeads, throttled, 429, "rate_limited", "1"},
		{"a throttled update", api.UpdateLead, throttled, 429, "rate_limited", "1"},
		{"a throttled delete", api.DeleteLead, throttled, 429, "rate_limited", "1"},
		{"an unavailable create", api.CreateLead, unavailable, 503, "unavailable", "2"},
		{"an unavailable list", api.ListLeads, unavailable, 503, "unavailable", "2"},
		{"an error that wraps another", api.DeleteLead, errors.Join(errors.New(internals), unavailable), 503, "unavailable", "2"},
		{"an unexpected error", api.ListLeads, errors.New(internals), 500, "internal", ""},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w.config.Leads = failingStore{func() error { return c.err }}
			w.start(t)
			wantError(t, w.send(t, contract.Main, c.route.Method, pathOf(c.route), ""), c.status, c.code, c.retry)
		})
	}
}

func wantError(t *testing.T, got answer, status int, code, retry string) {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Errorf("%v: %s", err, got.body)
	}
	if got.status != status || body.Error.Code != code || got.header.Get("Retry-After") != retry {
		t.Errorf("the answer is %d %q with Retry-After %q, want %d %q with %q", got.status, body.Error.Code, got.header.Get("Retry-After"), status, code, retry)
	}
	if strings.Contains(got.body, internals) {
		t.Errorf("the answer shows an internal error: %s", got.body)
	}
}

// TestRequestsAreRefusedWhenKeysCannotBeRead: it is not known then whether a key is
// valid, and it is not the client's error.
func TestRequestsAreRefusedWhenKeysCannotBeRead(t *testing.T) {
	w := newFixture(t)
	for outcome, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  string
	}{
		"an unavailable table": {&lead.UnavailableError{RetryAfter: time.Second, Err: errors.New(internals)}, 503, "unavailable", "1"},
		"an ended context":     {context.DeadlineExceeded, 503, "unavailable", "1"},
		"an unexpected error":  {errors.New(internals), 500, "internal", ""},
	} {
		t.Run(outcome, func(t *testing.T) {
			w.config.Keys = failingStore{func() error { return c.err }}
			w.start(t)
			for _, route := range api.Routes() {
				wantError(t, w.send(t, contract.Main, route.Method, pathOf(route), ""), c.status, c.code, c.retry)
			}
		})
	}
}

// TestHandlerServesOnlyItsRoutes tests handlers as functions have them: one with a
// single route, and one without routes, which needs neither leads nor keys.
func TestHandlerServesOnlyItsRoutes(t *testing.T) {
	w := newFixture(t)
	for _, c := range []struct {
		outcome      string
		handler      http.Handler
		method, path string
		status       int
		allow        string
	}{
		{"its own route", api.New(w.config).Handler(api.ListLeads), http.MethodGet, collection, 200, ""},
		{"HEAD of its own route", api.New(w.config).Handler(api.ListLeads), http.MethodHead, collection, 200, ""},
		{"another route", api.New(w.config).Handler(api.ListLeads), http.MethodGet, someLead, 404, ""},
		{"another method", api.New(w.config).Handler(api.ListLeads), http.MethodPatch, collection, 405, "GET, HEAD, POST, PUT, OPTIONS"},
		{"no route, an unknown path", api.New(api.Config{}).Handler(), http.MethodGet, "/", 404, ""},
		{"no route, an unknown method", api.New(api.Config{}).Handler(), http.MethodPost, someLead, 405, "GET, HEAD, PATCH, DELETE, OPTIONS"},
		{"no route, options", api.New(api.Config{}).Handler(), http.MethodOptions, someLead, 204, "GET, HEAD, PATCH, DELETE, OPTIONS"},
		{"no route, a route of others", api.New(api.Config{}).Handler(), http.MethodGet, collection, 404, ""},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w.transport = contract.Handler(c.handler)
			got := w.send(t, contract.Main, c.method, c.path, "")
			if allow := words(got.header.Get("Allow")); got.status != c.status || allow != words(c.allow) {
				t.Errorf("the answer is %d with Allow %s, want %d with %s", got.status, allow, c.status, c.allow)
			}
		})
	}
}

// words returns the words of a list, sorted.
func words(list string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(list, ", ")), ", ")
}

func TestRequestIDComesFromTheContext(t *testing.T) {
	w := newFixture(t)
	handler := api.New(w.config).Handler(api.Routes()...)
	for outcome, c := range map[string]struct{ given, want string }{
		"an id": {"given-7", "given-7"},
		"no id": {"", ""},
	} {
		t.Run(outcome, func(t *testing.T) {
			through := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(w, r.WithContext(api.WithRequestID(r.Context(), c.given)))
			})
			w.transport = describe(t).checkTransport(t, contract.Handler(through))
			got := w.send(t, "", http.MethodGet, collection, "").header.Get("Request-Id")
			if got == "" || c.want != "" && got != c.want {
				t.Errorf("the request id is %q, want %q", got, c.want)
			}
		})
	}
}

// TestStoreDeadlineIsBeforeTheCallers: the answer must still be sent when the time
// of the store has ended.
func TestStoreDeadlineIsBeforeTheCallers(t *testing.T) {
	w := newFixture(t)
	for outcome, given := range map[string]time.Duration{"a short deadline": 2 * time.Second, "a long deadline": time.Hour} {
		t.Run(outcome, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), given)
			defer cancel()
			latest, _ := ctx.Deadline()
			latest = latest.Add(-250 * time.Millisecond)
			if most := time.Now().Add(11 * time.Second); most.Before(latest) {
				latest = most
			}
			store := &deadlineStore{}
			w.config.Leads = store
			handler := api.New(w.config).Handler(api.Routes()...)
			w.transport = contract.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(w, r.WithContext(ctx))
			}))
			w.send(t, contract.Main, http.MethodGet, someLead, "")
			if store.deadline.IsZero() || store.deadline.After(latest) {
				t.Errorf("the deadline of the store is %v, want at latest %v", store.deadline, latest)
			}
		})
	}
}

// deadlineStore remembers the deadline of the last Retrieve.
type deadlineStore struct {
	failingStore
	deadline time.Time
}

func (s *deadlineStore) Retrieve(ctx context.Context, _ lead.Tenant, _ lead.ID) (lead.Lead, error) {
	s.deadline, _ = ctx.Deadline()
	return lead.Lead{}, lead.ErrNotFound
}

func TestErrorsListAtMost100Violations(t *testing.T) {
	w := newFixture(t)
	var members []string
	for i := range 150 {
		members = append(members, fmt.Sprintf(`"unknown%d":1`, i))
	}
	got := w.send(t, contract.Main, http.MethodPost, collection, "{"+strings.Join(members, ",")+"}")
	var body struct {
		Error struct{ Errors []lead.Violation }
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	if all := body.Error.Errors; len(all) != 100 || all[0].Param != "unknown0" || all[99].Param != "unknown99" {
		t.Errorf("the error lists %d violations: %s", len(all), got.body)
	}
}

// TestErrorBytes compares an error byte for byte, with characters that encoding/json
// would escape.
func TestErrorBytes(t *testing.T) {
	got := string(api.ErrorJSON(lead.ValidationError{{Param: "<a>&\u2028\"\\\n\xff", Code: lead.ParameterUnknown, Message: "It's <b>."}}, "id-1"))
	const param = "<a>&\u2028\\\"\\\\\\n\ufffd"
	want := `{"type":"invalid_request_error","code":"parameter_unknown","message":"It's <b>.","param":"` + param +
		`","request_id":"id-1","errors":[{"param":"` + param + `","code":"parameter_unknown","message":"It's <b>."}]}`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	got = string(api.ErrorJSON(lead.ErrKeyInUse, "id-2"))
	want = `{"type":"idempotency_error","code":"idempotency_key_in_use","message":"A request with this Idempotency-Key is still running. Send the same request again in a moment.","param":null,"request_id":"id-2","errors":[]}`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// TestUpsertWithoutFilter sends an upsert to a deployment that has no index of e-mail
// addresses.
func TestUpsertWithoutFilter(t *testing.T) {
	w := newFixture(t)
	w.table.Filters = []string{"status"}
	got := w.send(t, contract.Main, http.MethodPut, collection+"?match=email_id", `{"email_id":"ann@example.org"}`)
	wantError(t, got, 400, "parameter_invalid", "")
	if !strings.Contains(got.body, `"param":"match"`) || !strings.Contains(got.body, "switched off") {
		t.Errorf("the answer is %s", got.body)
	}
}
