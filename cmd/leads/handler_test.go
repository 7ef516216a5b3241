package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/docs"
)

// request sends a request to h.
func request(t *testing.T, h http.Handler, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// withoutLeads returns an API whose requests never reach a store.
func withoutLeads() http.Handler {
	return api.New(api.Config{}).Handler(docs.Routes()...)
}

func TestRootLeadsToTheDocumentation(t *testing.T) {
	h := redirectToDocs(withoutLeads())
	for _, c := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{http.MethodGet, "/", nil, http.StatusFound},
		{http.MethodHead, "/?a", nil, http.StatusFound},
		{http.MethodPost, "/", nil, http.StatusNotFound},
		{http.MethodGet, "/", []string{"Authorization", "Bearer x"}, http.StatusNotFound},
		{http.MethodGet, "//", nil, http.StatusNotFound},
		{http.MethodGet, "/docs", nil, http.StatusOK},
	} {
		res := request(t, h, c.method, c.path, c.headers...)
		if res.StatusCode != c.status || (c.status == http.StatusFound) != (res.Header.Get("Location") == "/docs") {
			t.Errorf("%s %s %v: %s, %v", c.method, c.path, c.headers, res.Status, res.Header)
		}
	}
}

func TestCORS(t *testing.T) {
	const other = "https://app.example.com"
	h := allowOrigins(withoutLeads(), other)
	for origin, allowed := range map[string]bool{
		"http://localhost:5173": true, "https://localhost": true, "http://127.0.0.1:8080": true, "http://[::1]:1": true, other: true,
		"": false, "null": false, "http://localhost.example.com": false, "https://example.com": false, other + ".evil.example": false,
	} {
		want := ""
		if allowed {
			want = origin
		}
		res := request(t, h, http.MethodGet, "/docs", "Origin", origin)
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != want || res.StatusCode != http.StatusOK {
			t.Errorf("%q: %s, Access-Control-Allow-Origin is %q", origin, res.Status, got)
		}
		if exposes := strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "ETag"); exposes != allowed {
			t.Errorf("%q: the headers are %v", origin, res.Header)
		}
		if vary := strings.Join(res.Header.Values("Vary"), ", "); vary != "Origin, Accept-Encoding" {
			t.Errorf("%q: Vary is %q", origin, vary)
		}
		res = request(t, h, http.MethodOptions, "/api/crm/lead", "Origin", origin, "Access-Control-Request-Method", "POST")
		allows := strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "PATCH") &&
			strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
		if allows != allowed || res.StatusCode != http.StatusNoContent {
			t.Errorf("preflight of %q: %s, %v", origin, res.Status, res.Header)
		}
	}
	// OPTIONS that is no preflight is answered by the API.
	res := request(t, h, http.MethodOptions, "/docs", "Origin", other)
	if res.Header.Get("Allow") == "" || res.Header.Get("Access-Control-Allow-Origin") != other {
		t.Errorf("OPTIONS: %v", res.Header)
	}
}

func TestTerminalLog(t *testing.T) {
	var out strings.Builder
	h := logRequests(withoutLeads(), &out)
	for _, c := range []struct{ method, path, want string }{
		{http.MethodGet, "/docs?a=b%0A", `^\d\d:\d\d:\d\d GET    /docs\?a=b%0A 200 [\d.µm]+s\n$`},
		{http.MethodOptions, "/docs", `^\S+ OPTIONS /docs 204 \S+\n$`},
		{http.MethodPost, "/api", `^\S+ POST   /api 404 \S+  route_unknown: There is nothing at this path\. .*\n$`},
		{http.MethodHead, "/api/crm/lead", `^\S+ HEAD   /api/crm/lead 404 \S+  route_unknown: .*\n$`},
	} {
		out.Reset()
		request(t, h, c.method, c.path)
		if !regexp.MustCompile(c.want).MatchString(out.String()) {
			t.Errorf("the line is %q, want %s", out.String(), c.want)
		}
	}
}
