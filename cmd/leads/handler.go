package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/docs"
)

// newHandler returns what leads serve answers with: the API and its
// documentation, for web pages from this machine and from the origin cors too. It
// logs each request to stderr, on a terminal in a form for people.
func newHandler(db database, cors string) http.Handler {
	config := api.Config{Leads: db, Keys: db, Log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	routes := slices.Concat(api.Routes(), docs.Routes())
	if !isTerminal(os.Stderr) {
		return redirectToDocs(allowOrigins(api.New(config).Handler(routes...), cors))
	}
	// logRequests does not know why the server failed. The log of the API does.
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return logRequests(redirectToDocs(allowOrigins(api.New(config).Handler(routes...), cors)), os.Stderr)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// redirectToDocs redirects a browser that asks for / to the documentation. A
// client with an API key gets the 404 of the API, as from every deployment.
func redirectToDocs(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
		if isRead && r.URL.EscapedPath() == "/" && r.Header.Get("Authorization") == "" {
			http.Redirect(w, r, "/docs", http.StatusFound)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// allowOrigins lets web pages from this machine, and from the origin other, send
// requests (CORS). template.yaml has the same settings for API Gateway.
func allowOrigins(h http.Handler, other string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if origin == "" || origin != other && !isLocalOrigin(origin) {
			h.ServeHTTP(w, r)
			return
		}
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		header.Set("Access-Control-Expose-Headers", "ETag, Idempotent-Replayed, Location, Request-Id, Retry-After")
		h.ServeHTTP(w, r)
	})
}

// isLocalOrigin reports whether an origin is a server on this machine.
func isLocalOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// checkOrigin returns an error if the value of -cors is not an origin.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "" || err == nil && u.Host != "" && origin == u.Scheme+"://"+u.Host {
		return nil
	}
	return usageError("-cors: %q is not an origin, give one such as https://app.example.com", origin)
}

// logRequests writes a line for each request: its time, method, path and status,
// how long it took and, if it was refused, why.
func logRequests(h http.Handler, out io.Writer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := &recorder{ResponseWriter: w}
		h.ServeHTTP(recorder, r)
		took := time.Since(start).Round(100 * time.Microsecond)
		fmt.Fprintf(out, "%s %-6s %s %d %v%s\n", start.Format(time.TimeOnly), r.Method, r.URL.RequestURI(), recorder.status, took, recorder.reason())
	})
}

// recorder keeps the status of an answer, and the body of an error.
type recorder struct {
	http.ResponseWriter
	status int
	body   []byte
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.status >= http.StatusBadRequest {
		r.body = append(r.body, p...)
	}
	return r.ResponseWriter.Write(p)
}

// reason returns the code and message of an error, or "".
func (r *recorder) reason() string {
	var body struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	if json.Unmarshal(r.body, &body) != nil {
		return ""
	}
	return fmt.Sprintf("  %s: %s", body.Error.Code, body.Error.Message)
}
