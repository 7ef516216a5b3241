package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"overplane.dev/leads/pkg/apikey"
)

// response is the answer to a request, and what the log line says about both.
type response struct {
	client    http.ResponseWriter
	requestID string
	route     string // "" where no route matched
	status    int    // 0 until the answer is known
	body      []byte
	sent      bool       // also where sending failed
	key       apikey.Key // zero where the caller is unknown
	err       error      // why the request failed, for the log
}

func (w *response) Header() http.Header { return w.client.Header() }

// setJSON makes this status and JSON the answer.
func (w *response) setJSON(status int, body []byte) {
	w.setBody(status, "application/json", body)
}

func (w *response) setBody(status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.status, w.body = status, body
}

// send sends the answer to the client, once. It ignores errors: they mean that
// the connection is broken.
func (w *response) send() {
	if w.sent {
		return
	}
	w.sent = true
	w.client.WriteHeader(w.status)
	w.client.Write(w.body) //nolint:errcheck
	// Do not make the client wait for the log line.
	http.NewResponseController(w.client).Flush() //nolint:errcheck
}

// writeLog writes the log line of a request.
func (a *API) writeLog(w *response, took time.Duration) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("request_id", w.requestID),
		slog.String("route", w.route),
		slog.Int("status", w.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("account", w.key.Tenant.Account),
		slog.String("mode", string(w.key.Tenant.Mode)),
		slog.String("key_id", w.key.ID),
	}
	// Not the answer's status: it may have been sent before the error.
	if w.err != nil && problemOf(w.err).status >= http.StatusInternalServerError {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", w.err.Error()))
	}
	a.log.LogAttrs(context.Background(), level, "request", attrs...)
}
