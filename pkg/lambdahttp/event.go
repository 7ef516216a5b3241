package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-json-experiment/json/jsontext"
)

// event is an API Gateway event of either payload format. They are described in
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
// and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
type event struct {
	version string // "2.0", "1.0", or "" from a REST API
	method  string
	url     url.URL
	header  http.Header
	body    []byte

	// basePath is what the client's URL has before the path of url: a slash and
	// the name of the stage, or "".
	basePath string
}

var errNotHTTP = errors.New("the event is not an API Gateway event of payload format 1.0 or 2.0: " +
	"connect this function to an HTTP API or a REST API as a Lambda proxy integration, " +
	"or call it with the members account and mode")

// parseEvent parses an event. encoding/json replaces invalid UTF-8 in it without
// an error. That is harmless except in the body, which is therefore taken from
// members (see parseBody).
func parseEvent(payload []byte, members map[string]jsontext.Value) (*event, error) {
	e := &event{header: http.Header{}}
	if version := members["version"]; version != nil {
		if err := json.Unmarshal(version, &e.version); err != nil {
			return nil, errNotHTTP
		}
	}
	var isBase64 bool
	switch e.version {
	case "2.0":
		var in events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotHTTP, err)
		}
		e.method, e.url.RawQuery, isBase64 = in.RequestContext.HTTP.Method, in.RawQueryString, in.IsBase64Encoded
		e.setHTTPAPIPath(in.RawPath, in.RequestContext.Stage, in.RequestContext.DomainName)
		for name, value := range in.Headers {
			e.addHeader(name, value)
		}
	case "1.0", "":
		var in events.APIGatewayProxyRequest
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotHTTP, err)
		}
		e.method, e.url.RawQuery, isBase64 = in.HTTPMethod, url.Values(in.MultiValueQueryStringParameters).Encode(), in.IsBase64Encoded
		if e.version == "1.0" {
			e.setHTTPAPIPath(in.Path, in.RequestContext.Stage, in.RequestContext.DomainName)
		} else {
			e.setRESTAPIPath(in.Path, in.RequestContext.Path)
		}
		for name, values := range in.MultiValueHeaders {
			for _, value := range values {
				e.addHeader(name, value)
			}
		}
		if len(e.header) == 0 { // otherwise it includes these
			for name, value := range in.Headers {
				e.addHeader(name, value)
			}
		}
	}
	if e.version == "" {
		// Unless a REST API has binary media types, it does not decode base64, in which
		// a compressed answer is. It can compress answers itself.
		e.header.Del("Accept-Encoding")
	}
	if e.method == "" {
		return nil, errNotHTTP
	}
	e.body = parseBody(members["body"], isBase64)
	return e, nil
}

// setHTTPAPIPath sets the path of an event of an HTTP API. In both formats it is
// without escapes, and begins with the stage unless that is $default, even where
// a custom domain hides the stage from clients.
func (e *event) setHTTPAPIPath(path, stage, domain string) {
	e.url.Path = path
	if stage == "" || stage == "$default" || !strings.HasPrefix(path, "/"+stage+"/") {
		return
	}
	e.url.Path = strings.TrimPrefix(path, "/"+stage)
	if domain == "" || strings.Contains(domain, ".execute-api.") {
		e.basePath = "/" + stage
	}
}

// setRESTAPIPath sets the path of an event of a REST API. It is as the client
// wrote it and without the stage, which only the path in requestContext has. A
// path with invalid escapes stays as it is: no route has such a path.
func (e *event) setRESTAPIPath(path, contextPath string) {
	e.url.Path = path
	if plain, err := url.PathUnescape(path); err == nil {
		e.url.Path, e.url.RawPath = plain, path
	}
	if basePath, ok := strings.CutSuffix(contextPath, path); ok {
		e.basePath = basePath
	}
}

// addHeader adds a header under its canonical name: HTTP APIs send lower case,
// REST APIs what the client wrote, and sam local title case and white space.
func (e *event) addHeader(name, value string) {
	e.header.Add(name, strings.Trim(value, " \t"))
}

// parseBody returns the body that the client sent. A body that is not valid in the
// event (an incomplete character, wrong base64) is returned as the JSON string
// that the event has. It must not be stored in a changed form, and must not fail
// the whole event: the API refuses it, because it is not a JSON object.
func parseBody(body jsontext.Value, isBase64 bool) []byte {
	if body == nil || body.Kind() == jsontext.KindNull {
		return nil
	}
	text, err := jsontext.AppendUnquote(nil, body)
	if err == nil && isBase64 {
		text, err = base64.StdEncoding.AppendDecode(nil, text)
	}
	if err != nil {
		return body
	}
	return text
}

// request returns the HTTP request of the event.
func (e *event) request(ctx context.Context) *http.Request {
	host := e.header.Get("Host")
	e.header.Del("Host") // as in net/http
	r := newRequest(ctx, e.method, &e.url, e.header, e.body)
	r.Host = host
	return r
}

// newRequest returns a request as a server of net/http would.
func newRequest(ctx context.Context, method string, u *url.URL, header http.Header, body []byte) *http.Request {
	r := &http.Request{
		Method:        method,
		URL:           u,
		RequestURI:    u.RequestURI(),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	return r.WithContext(ctx)
}
