package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"overplane.dev/leads/pkg/plainjson"
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

// encode returns a function's result for an event of the given version: 1.0
// has multi-value headers, 2.0 has headers. An answer to HEAD has no body (RFC
// 9110, section 9.3.2).
func (w *response) encode(version, method string) []byte {
	w.WriteHeader(http.StatusOK) // where the handler wrote nothing
	body, binary := w.body.Bytes(), false
	switch {
	case method == http.MethodHead:
		body = nil
	case !utf8.Valid(body):
		body, binary = base64.StdEncoding.AppendEncode(nil, body), true
	}
	name, value := "multiValueHeaders", plainjson.AppendStrings
	if version == "2.0" {
		name, value = "headers", quoteJoined
	}
	dst := make([]byte, 0, 2*len(body)+1024)
	dst = append(dst, `{"statusCode":`...)
	dst = strconv.AppendInt(dst, int64(w.status), 10)
	dst = append(dst, `,"`+name+`":{`...)
	separator := ""
	for name, values := range w.sent {
		dst = append(dst, separator...)
		dst = append(plainjson.AppendString(dst, name), ':')
		dst = value(dst, values)
		separator = ","
	}
	dst = append(dst, `},"body":`...)
	dst = plainjson.AppendString(dst, body)
	dst = append(dst, `,"isBase64Encoded":`...)
	return append(strconv.AppendBool(dst, binary), '}')
}

func quoteJoined(dst []byte, values []string) []byte {
	return plainjson.AppendString(dst, strings.Join(values, ", "))
}
