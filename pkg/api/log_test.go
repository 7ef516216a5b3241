package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// logLine is the log line of a request.
type logLine struct {
	Level     string   `json:"level"`
	Msg       string   `json:"msg"`
	RequestID string   `json:"request_id"`
	Route     *string  `json:"route"`
	Status    int      `json:"status"`
	Duration  *float64 `json:"duration_ms"`
	Account   *string  `json:"account"`
	Mode      *string  `json:"mode"`
	KeyID     *string  `json:"key_id"`
	Error     string   `json:"error"`
}

// readLog returns the only line that was logged since the last call.
func (w *fixture) readLog(t *testing.T) (l logLine, text string) {
	t.Helper()
	text = w.log.take()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("the log has\n%s\nwant one line", text)
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return l, text
}

func TestEachRequestIsLoggedInOneLine(t *testing.T) {
	w := newFixture(t)
	path := w.create(t, "{}")
	w.log.take()
	const secret = "secretsauce"
	for _, c := range []struct {
		outcome      string
		key          string
		method, path string
		body         string
		headers      []string
		status       int
		route        string
	}{
		{"created", contract.Main, http.MethodPost, collection, `{"lead_name":"` + secret + `"}`, nil, 201, "create-lead"},
		{"created with an idempotency key", contract.Main, http.MethodPost, collection, `{"lead_name":"` + secret + `"}`, []string{"Idempotency-Key", secret}, 201, "create-lead"},
		{"retrieved", contract.ReadOnly, http.MethodGet, path, "", nil, 200, "retrieve-lead"},
		{"head", contract.Main, http.MethodHead, path, "", nil, 200, "retrieve-lead"},
		{"not modified", contract.Main, http.MethodGet, path, "", []string{"If-None-Match", "*"}, 304, "retrieve-lead"},
		{"listed", contract.OtherMode, http.MethodGet, collection, "", nil, 200, "list-leads"},
		{"updated", contract.Main, http.MethodPatch, path, `{"city":"` + secret + `"}`, nil, 200, "update-lead"},
		{"deleted", contract.Main, http.MethodDelete, path, "", nil, 200, "delete-lead"},
		{"deleted again", contract.Main, http.MethodDelete, path, "", nil, 404, "delete-lead"},
		{"refused values", contract.Main, http.MethodPost, collection, `{"email_id":"` + secret + `","` + secret + `":1}`, nil, 400, "create-lead"},
		{"refused JSON", contract.Main, http.MethodPost, collection, secret, nil, 400, "create-lead"},
		{"refused parameters", contract.Main, http.MethodGet, collection + "?" + secret + "=" + secret, "", nil, 400, "list-leads"},
		{"too large", contract.Main, http.MethodPost, collection, strings.Repeat(secret, 20_000), nil, 413, "create-lead"},
		{"unsupported type", contract.Main, http.MethodPost, collection, secret, []string{"Content-Type", secret + "/plain"}, 415, "create-lead"},
		{"scope missing", contract.ReadOnly, http.MethodDelete, path, "", nil, 403, "delete-lead"},
		{"no key", "", http.MethodGet, path, "", nil, 401, "retrieve-lead"},
		{"a revoked key", contract.Revoked, http.MethodGet, path, "", nil, 401, "retrieve-lead"},
		{"a key in the query", "", http.MethodGet, path + "?key=" + w.keys[contract.Main], "", nil, 401, "retrieve-lead"},
		{"a key in the path", contract.Main, http.MethodGet, collection + "/" + w.keys[contract.Main], "", nil, 404, "retrieve-lead"},
		{"unknown path", contract.Main, http.MethodGet, "/" + secret, secret, nil, 404, ""},
		{"unknown method", contract.Main, http.MethodPut, path, secret, nil, 405, ""},
		{"options", "", http.MethodOptions, path, "", nil, 204, ""},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			got := w.send(t, c.key, c.method, c.path, c.body, c.headers...)
			l, text := w.readLog(t)
			if l.Msg == "" || l.Level != "INFO" || l.RequestID == "" || l.RequestID != got.header.Get("Request-Id") ||
				l.Route == nil || *l.Route != c.route || l.Status != c.status || got.status != c.status || l.Duration == nil || *l.Duration < 0 {
				t.Errorf("the status is %d and the log says\n%swant status %d and route %q", got.status, text, c.status, c.route)
			}
			w.wantCaller(t, l, c.key, c.status == http.StatusUnauthorized || c.route == "")
			for name, key := range w.keys {
				if id, _, _ := apikey.Parse(key); strings.Contains(text, key) || strings.Contains(text, key[len(key)-38:]) || id == "" {
					t.Errorf("the log shows the key %s", name)
				}
			}
			if strings.Contains(text, secret) {
				t.Errorf("the log shows what the client sent: %s", text)
			}
		})
	}
}

// wantCaller checks that the line names the caller, or no caller.
func (w *fixture) wantCaller(t *testing.T, l logLine, key string, unknown bool) {
	t.Helper()
	var want apikey.Key
	if !unknown {
		id, _, _ := apikey.Parse(w.keys[key])
		var err error
		if want, err = w.table.FindKey(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		got  *string
		want string
	}{
		"account": {l.Account, want.Tenant.Account}, "mode": {l.Mode, string(want.Tenant.Mode)}, "key_id": {l.KeyID, want.ID},
	} {
		switch {
		case c.got == nil:
			t.Errorf("the log has no %s", name)
		case *c.got != c.want:
			t.Errorf("the log has the %s %q, want %q", name, *c.got, c.want)
		}
	}
}

const internals = "kaboom"

func TestInternalErrorsAreLoggedAndNotShown(t *testing.T) {
	for _, c := range []struct {
		outcome string
		fail    func() error
		status  int
		logged  string
	}{
		{"a panic is a 500 with its stack in the log", func() error { panic(internals) }, 500, "log_test.go"},
		{"a nil dereference is a 500", func() error { var l *lead.Lead; return errors.New(string(l.ID)) }, 500, "log_test.go"},
		{"an unexpected error is a 500", func() error { return errors.New(internals) }, 500, internals},
		{"an unavailable store is a 503", func() error {
			return &lead.UnavailableError{RetryAfter: 1500 * time.Millisecond, Err: errors.New(internals)}
		}, 503, internals},
		{"an ended context is a 503", func() error { return context.DeadlineExceeded }, 503, "deadline"},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w := newFixture(t)
			w.config.Leads = failingStore{c.fail}
			w.start(t)
			got := w.send(t, contract.Main, http.MethodGet, someLead, "")
			l, text := w.readLog(t)
			if got.status != c.status || l.Status != c.status || l.Level != "ERROR" || !strings.Contains(l.Error, c.logged) {
				t.Errorf("the status is %d and the log says\n%s", got.status, text)
			}
			w.wantCaller(t, l, contract.Main, false)
			for _, word := range []string{internals, "goroutine", ".go", "panic", "runtime", "deadline"} {
				if strings.Contains(got.body, word) {
					t.Errorf("the answer shows an internal error: %s", got.body)
				}
			}
		})
	}
}

// TestPanicWhileSendingIsLogged: the answer is not sent twice.
func TestPanicWhileSendingIsLogged(t *testing.T) {
	w := newFixture(t)
	handler := api.New(w.config).Handler(api.Routes()...)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+collection, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.keys[contract.Main])
	client := &panickingClient{header: http.Header{}}
	handler.ServeHTTP(client, r)
	l, text := w.readLog(t)
	if len(client.statuses) != 1 || client.statuses[0] != http.StatusOK || l.Status != http.StatusOK {
		t.Errorf("the statuses are %v and the log says\n%s", client.statuses, text)
	}
	if l.Level != "ERROR" || !strings.Contains(l.Error, "panickingClient") {
		t.Errorf("the log does not say what happened:\n%s", text)
	}
}

// panickingClient is a ResponseWriter that panics when a body is written.
type panickingClient struct {
	header   http.Header
	statuses []int
}

func (c *panickingClient) Header() http.Header       { return c.header }
func (c *panickingClient) WriteHeader(status int)    { c.statuses = append(c.statuses, status) }
func (c *panickingClient) Write([]byte) (int, error) { panic(internals) }
