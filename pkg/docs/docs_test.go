package docs_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/docs"
)

// send sends a request and returns the answer with its decompressed body.
func send(t *testing.T, method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	api.New(api.Config{}).Handler(docs.Routes()...).ServeHTTP(w, r)
	res := w.Result()
	var body io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" && w.Body.Len() > 0 {
		if length := fmt.Sprint(w.Body.Len()); res.Header.Get("Content-Length") != length {
			t.Errorf("Content-Length is %q, want %s", res.Header.Get("Content-Length"), length)
		}
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

var files = []struct{ path, contentType, file, part string }{
	{"/docs", "text/html; charset=utf-8", "index.html", `spec-url="openapi.json"`},
	{"/docs/page.js", "text/javascript; charset=utf-8", "page.js", "setApiKey"},
	{"/docs/rapidoc-min.js", "text/javascript; charset=utf-8", "", "RapiDoc 9.3.8"},
	{"/openapi.json", "application/json", "openapi.json", `"openapi": "3.1.0"`},
}

func TestFiles(t *testing.T) {
	for _, f := range files {
		t.Run(f.path, func(t *testing.T) {
			tags := map[string]bool{}
			for _, encoding := range []string{"", "gzip, br", "br;q=1, gzip;q=0", "gzip;q=0.5", "identity"} {
				res, body := send(t, http.MethodGet, f.path+"?v=1&v", "Accept-Encoding", encoding)
				want := ""
				if strings.HasPrefix(encoding, "gzip") {
					want = "gzip"
				}
				if got := res.Header.Get("Content-Encoding"); res.StatusCode != http.StatusOK || got != want {
					t.Errorf("Accept-Encoding %q: the answer is %s with Content-Encoding %q", encoding, res.Status, got)
				}
				if !strings.Contains(body, f.part) {
					t.Errorf("the body has no %q: %.100q", f.part, body)
				}
				if file, err := os.ReadFile(f.file); f.file != "" && (err != nil || string(file) != body) {
					t.Errorf("the body is not %s: %v", f.file, err)
				}
				for name, want := range map[string]string{
					"Content-Type": f.contentType, "Cache-Control": "public, max-age=300",
					"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding",
				} {
					if got := res.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				policy := res.Header.Get("Content-Security-Policy")
				if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") || res.Header.Get("Request-Id") == "" {
					t.Errorf("the headers are %v", res.Header)
				}
				tag := res.Header.Get("ETag")
				tags[tag] = true
				res, body = send(t, http.MethodGet, f.path, "Accept-Encoding", encoding, "If-None-Match", `"other", W/`+tag)
				if res.StatusCode != http.StatusNotModified || body != "" || res.Header.Get("ETag") != tag || res.Header.Get("Content-Encoding") != "" {
					t.Errorf("with its tag the answer is %s with %v", res.Status, res.Header)
				}
				if res, _ := send(t, http.MethodGet, f.path, "If-None-Match", `"other"`); res.StatusCode != http.StatusOK {
					t.Errorf("with another tag the answer is %s", res.Status)
				}
			}
			if len(tags) != 2 || tags[""] {
				t.Errorf("the tags are %v, want one for each encoding", tags)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	for _, f := range files {
		res, body := send(t, http.MethodOptions, f.path)
		if res.StatusCode != http.StatusNoContent || body != "" || res.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("OPTIONS %s: %s, %v", f.path, res.Status, res.Header)
		}
		res, body = send(t, http.MethodPost, f.path)
		if res.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(body, "method_not_allowed") || res.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("POST %s: %s, %s", f.path, res.Status, body)
		}
		get, _ := send(t, http.MethodGet, f.path)
		head, _ := send(t, http.MethodHead, f.path)
		get.Header.Del("Request-Id")
		head.Header.Del("Request-Id")
		if head.StatusCode != http.StatusOK || fmt.Sprint(head.Header) != fmt.Sprint(get.Header) {
			t.Errorf("HEAD %s: %s, %v, want %v", f.path, head.Status, head.Header, get.Header)
		}
	}
	for _, path := range []string{"/docs/", "/docs/other.js", "/openapi.yaml", "//docs"} {
		if res, body := send(t, http.MethodGet, path); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "route_unknown") {
			t.Errorf("GET %s: %s, %s", path, res.Status, body)
		}
	}
}

// TestWithoutDocs: a stage that does not serve the documentation answers like
// for every unknown path, also to other methods.
func TestWithoutDocs(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		w := httptest.NewRecorder()
		api.New(api.Config{}).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/docs", nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s /docs: %d", method, w.Code)
		}
	}
}

func TestRapiDocIsThePublishedFile(t *testing.T) {
	file, err := os.ReadFile("rapidoc/rapidoc-min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	notes, err := os.ReadFile("rapidoc/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(file)); !bytes.Contains(notes, []byte(sum)) {
		t.Errorf("rapidoc/README.md does not have the hash %s", sum)
	}
}
