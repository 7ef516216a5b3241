package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An event holds what we read of an API Gateway event, whatever its payload
// format. The formats are described in
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
// and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
type event struct {
	Version string            `json:"version"` // "2.0", "1.0", or "" from a REST API
	Headers map[string]string `json:"headers"` // format 2.0 joins values by comma
	Body    jsontext.Value    `json:"body"`    // a JSON string or null
	Base64  bool              `json:"isBase64Encoded"`
	Context struct {
		Stage string `json:"stage"`
		HTTP  struct {
			Method string `json:"method"`
		} `json:"http"`
	} `json:"requestContext"`

	// Members of a direct call alone. A client cannot put anything beside the
	// members that API Gateway makes.
	Account jsontext.Value `json:"account"`
	Mode    jsontext.Value `json:"mode"`

	// Format 2.0 alone.
	RawPath        string `json:"rawPath"`
	RawQueryString string `json:"rawQueryString"`

	// Format 1.0 alone.
	Method            string              `json:"httpMethod"`
	Path              string              `json:"path"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"` // decoded
}

// request returns the HTTP request that e describes.
func (e *event) request(ctx context.Context) (*http.Request, error) {
	method, u := e.Method, &url.URL{}
	switch e.Version {
	case "2.0":
		method = e.Context.HTTP.Method
		u.Path = e.withoutStage(e.RawPath)
		u.RawQuery = e.RawQueryString
	case "1.0":
		u.Path = e.withoutStage(e.Path)
		u.RawQuery = url.Values(e.MultiValueQuery).Encode()
	case "":
		u.Path, u.RawPath = unescaped(e.Path)
		u.RawQuery = url.Values(e.MultiValueQuery).Encode()
	default:
		return nil, errNotHTTP
	}
	body, ok := e.body()
	if method == "" || !ok {
		return nil, errNotHTTP
	}

	header := e.header()
	host := header.Get("Host")
	header.Del("Host") // as net/http has it
	r := &http.Request{
		Method:        method,
		URL:           u,
		RequestURI:    u.RequestURI(),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Host:          host,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	return r.WithContext(ctx), nil
}

// withoutStage returns an HTTP API's path as the client's URL has it after
// the stage. Such a path comes decoded, in both formats, and decoding it
// again would make two resources of "a%2Fb" one; and it begins with the stage,
// unless that is $default, also where a custom domain hides it.
func (e *event) withoutStage(path string) string {
	rest, found := strings.CutPrefix(path, "/"+e.Context.Stage)
	if found && strings.HasPrefix(rest, "/") && e.Context.Stage != "" {
		return rest
	}
	return path
}

// unescaped returns a REST API's path, which comes as the client wrote it and
// without the stage, as url.URL keeps it: decoded, and raw where that differs
// from the usual encoding. A path that cannot be decoded names nothing of
// ours, and is kept as it is to be answered with a 404.
func unescaped(path string) (decoded, raw string) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return path, ""
	}
	return decoded, path
}

// header returns the headers under their canonical names: HTTP APIs send
// lower case, REST APIs what the client wrote, sam local Title-Case.
func (e *event) header() http.Header {
	h := make(http.Header, len(e.Headers))
	for name, values := range e.MultiValueHeaders {
		for _, value := range values {
			h.Add(name, value)
		}
	}
	if len(h) > 0 {
		return h // the multi-value headers hold the others too
	}
	for name, value := range e.Headers {
		h.Add(name, value)
	}
	return h
}

// body returns the bytes that the client sent, and whether there can be such.
//
// A body which the event could not carry whole (half a character, broken
// base64) is returned as the quoted text that stands in the event: a JSON
// string is no JSON object, so it is refused as the client's mistake and never
// stored as something else.
func (e *event) body() (body []byte, ok bool) {
	switch e.Body.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull: // absent or null
		return nil, true
	case jsontext.KindString:
	default:
		return nil, false
	}
	body, err := jsontext.AppendUnquote(nil, e.Body)
	if err == nil && e.Base64 {
		body, err = base64.StdEncoding.AppendDecode(nil, body)
	}
	if err != nil {
		return e.Body, true
	}
	return body, true
}
