package api_test

import (
	"context"
	"encoding/json"
	"errors"
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

// broken is a store that fails in one way, whatever it is asked.
type broken struct{ fail func() error }

func (b broken) Create(context.Context, lead.Tenant, lead.Values, lead.IdempotencyKey) (lead.Lead, bool, error) {
	return lead.Lead{}, false, b.fail()
}

func (b broken) Retrieve(context.Context, lead.Tenant, lead.ID) (lead.Lead, error) {
	return lead.Lead{}, b.fail()
}

func (b broken) List(context.Context, lead.Tenant, int, int64) ([]lead.Lead, int64, error) {
	return nil, 0, b.fail()
}

func (b broken) Update(context.Context, lead.Tenant, lead.ID, []lead.Change, lead.Precondition) (lead.Lead, error) {
	return lead.Lead{}, b.fail()
}

func (b broken) Delete(context.Context, lead.Tenant, lead.ID, lead.Precondition) error {
	return b.fail()
}

func (b broken) FindKey(context.Context, string) (apikey.Key, error) {
	return apikey.Key{}, b.fail()
}

const (
	noID     = "lead_00000000000000000000000000"
	someLead = collection + "/" + noID
)

// pathOf returns a path of the route.
func pathOf(route api.Route) string { return strings.Replace(route.Path, "{id}", noID, 1) }

// TestErrorsOfAStoreHaveTheirStatus lets a store fail in every documented way.
func TestErrorsOfAStoreHaveTheirStatus(t *testing.T) {
	w := newWorld(t)
	throttled := &lead.UnavailableError{Throttled: true, RetryAfter: 300 * time.Millisecond, Err: errors.New(internals)}
	busy := &lead.UnavailableError{RetryAfter: 1001 * time.Millisecond, Err: errors.New(internals)}
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
		{"a key that was used for other values", api.CreateLead, lead.ErrKeyReused, 409, "idempotency_key_reused", ""},
		{"a key that is in use", api.CreateLead, lead.ErrKeyInUse, 409, "idempotency_key_in_use", ""},
		{"a throttled create", api.CreateLead, throttled, 429, "rate_limited", "1"},
		{"a throttled retrieve", api.RetrieveLead, throttled, 429, "rate_limited", "1"},
		{"a throttled list", api.ListLeads, throttled, 429, "rate_limited", "1"},
		{"a throttled update", api.UpdateLead, throttled, 429, "rate_limited", "1"},
		{"a throttled delete", api.DeleteLead, throttled, 429, "rate_limited", "1"},
		{"a create that could not be done", api.CreateLead, busy, 503, "unavailable", "2"},
		{"a list that could not be read", api.ListLeads, busy, 503, "unavailable", "2"},
		{"an error that wraps another", api.DeleteLead, errors.Join(errors.New(internals), busy), 503, "unavailable", "2"},
		{"an error that nobody foresaw", api.ListLeads, errors.New(internals), 500, "internal", ""},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w.config.Leads = broken{func() error { return c.err }}
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
		t.Errorf("the answer shows what is inside: %s", got.body)
	}
}

// TestNobodyGetsInWhenKeysCannotBeRead: whether a key is valid is then unknown,
// and the client is not to blame.
func TestNobodyGetsInWhenKeysCannotBeRead(t *testing.T) {
	w := newWorld(t)
	for outcome, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  string
	}{
		"a busy table":                 {&lead.UnavailableError{RetryAfter: time.Second, Err: errors.New(internals)}, 503, "unavailable", "1"},
		"the end of time":              {context.DeadlineExceeded, 503, "unavailable", "1"},
		"an error that nobody foresaw": {errors.New(internals), 500, "internal", ""},
	} {
		t.Run(outcome, func(t *testing.T) {
			w.config.Keys = broken{func() error { return c.err }}
			w.start(t)
			for _, route := range api.Routes() {
				wantError(t, w.send(t, contract.Main, route.Method, pathOf(route), ""), c.status, c.code, c.retry)
			}
		})
	}
}

// TestFunctionServesItsRoutesAlone makes the handlers that functions have: one
// with a single route, and one with none, which needs neither leads nor keys.
func TestFunctionServesItsRoutesAlone(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		outcome      string
		handler      http.Handler
		method, path string
		status       int
		allow        string
	}{
		{"its own route", api.New(w.config).Handler(api.ListLeads), http.MethodGet, collection, 200, ""},
		{"its own route's head", api.New(w.config).Handler(api.ListLeads), http.MethodHead, collection, 200, ""},
		{"another's route", api.New(w.config).Handler(api.ListLeads), http.MethodGet, someLead, 404, ""},
		{"another method", api.New(w.config).Handler(api.ListLeads), http.MethodPut, collection, 405, "GET, HEAD, POST, OPTIONS"},
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

// words returns the words of a list in order.
func words(list string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(list, ", ")), ", ")
}

func TestRequestIDIsThatOfTheContext(t *testing.T) {
	w := newWorld(t)
	handler := api.New(w.config).Handler(api.Routes()...)
	for outcome, c := range map[string]struct{ given, want string }{
		"where there is one": {"given-7", "given-7"},
		"not where empty":    {"", ""},
	} {
		t.Run(outcome, func(t *testing.T) {
			through := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(w, r.WithContext(api.WithRequestID(r.Context(), c.given)))
			})
			w.transport = describe(t).checked(t, contract.Handler(through))
			got := w.send(t, "", http.MethodGet, collection, "").header.Get("Request-Id")
			if got == "" || c.want != "" && got != c.want {
				t.Errorf("the request is named %q, want %q", got, c.want)
			}
		})
	}
}

// TestStoreHasLessTimeThanTheCaller: an answer must still be sent when the time
// of the store is up.
func TestStoreHasLessTimeThanTheCaller(t *testing.T) {
	w := newWorld(t)
	for outcome, given := range map[string]time.Duration{"by a caller in haste": 2 * time.Second, "by a patient caller": time.Hour} {
		t.Run(outcome, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), given)
			defer cancel()
			latest, _ := ctx.Deadline()
			latest = latest.Add(-250 * time.Millisecond)
			if most := time.Now().Add(11 * time.Second); most.Before(latest) {
				latest = most
			}
			store := &timed{}
			w.config.Leads = store
			handler := api.New(w.config).Handler(api.Routes()...)
			w.transport = contract.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(w, r.WithContext(ctx))
			}))
			w.send(t, contract.Main, http.MethodGet, someLead, "")
			if store.deadline.IsZero() || store.deadline.After(latest) {
				t.Errorf("the store has time until %v, want at most until %v", store.deadline, latest)
			}
		})
	}
}

// timed remembers until when it had time.
type timed struct {
	broken
	deadline time.Time
}

func (s *timed) Retrieve(ctx context.Context, _ lead.Tenant, _ lead.ID) (lead.Lead, error) {
	s.deadline, _ = ctx.Deadline()
	return lead.Lead{}, lead.ErrNotFound
}
