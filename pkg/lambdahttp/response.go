package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// response is an http.ResponseWriter that keeps the answer in memory. The zero
// value is ready to use.
type response struct {
	status int
	header http.Header // what the handler may still change
	sent   http.Header // the headers at the time of WriteHeader
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter. The first final status counts.
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

// encode returns the result of the function for an event.
func (w *response) encode(e *event) ([]byte, error) {
	w.WriteHeader(http.StatusOK) // if the handler wrote nothing
	if location := w.sent.Get("Location"); strings.HasPrefix(location, "/") {
		w.sent.Set("Location", e.basePath+location)
	}
	body, isBase64 := w.body.String(), false
	switch {
	case e.method == http.MethodHead: // RFC 9110, section 9.3.2
		body = ""
	case !utf8.ValidString(body):
		body, isBase64 = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	if e.version != "2.0" {
		return json.Marshal(events.APIGatewayProxyResponse{
			StatusCode: w.status, MultiValueHeaders: w.sent, Body: body, IsBase64Encoded: isBase64,
		})
	}
	headers := map[string]string{}
	for name, values := range w.sent {
		headers[name] = strings.Join(values, ", ")
	}
	return json.Marshal(events.APIGatewayV2HTTPResponse{
		StatusCode: w.status, Headers: headers, Body: body, IsBase64Encoded: isBase64,
	})
}
