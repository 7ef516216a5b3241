package gateway

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A response is the http.ResponseWriter of one event. Its zero value is ready.
type response struct {
	status int
	header http.Header // what the handler writes to
	sent   http.Header // what header was when the status was written
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter: the first final status counts.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// An answer is a function's result in either format: 1.0 reads the
// multi-value headers, 2.0 reads the headers.
type answer struct {
	Status            int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Body              string              `json:"body"`
	Base64            bool                `json:"isBase64Encoded"`
}

// encode returns the answer to an event of the given version. An answer to
// HEAD has no body (RFC 9110, section 9.3.2).
func (w *response) encode(version, method string) ([]byte, error) {
	w.WriteHeader(http.StatusOK) // where the handler wrote nothing
	a := answer{Status: w.status}
	if version == "2.0" {
		a.Headers = make(map[string]string, len(w.sent))
		for name, values := range w.sent {
			a.Headers[name] = strings.Join(values, ", ")
		}
	} else {
		a.MultiValueHeaders = w.sent
	}
	switch body := w.body.Bytes(); {
	case method == http.MethodHead:
	case utf8.Valid(body):
		a.Body = string(body)
	default:
		a.Body, a.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	// A header that repeats half a character of the client's is no failure.
	return json.Marshal(a, jsontext.AllowInvalidUTF8(true))
}
