package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/plainjson"
)

// An event holds what we read of an API Gateway event, whatever its payload
// format. The formats are described in
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
// and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
type event struct {
	version string            // "2.0", "1.0", or "" from a REST API
	headers map[string]string // format 2.0 joins values by comma
	body    jsontext.Value    // a JSON string or null
	base64  bool
	stage   string

	// Whether there are members of a direct call. A client cannot put anything
	// beside the members that API Gateway makes.
	direct bool

	method   string
	path     string // rawPath in format 2.0
	rawQuery string // format 2.0 alone

	// Format 1.0 alone.
	multiValueHeaders map[string][]string
	multiValueQuery   map[string][]string // decoded
}

// parse reads an event. Half a character must not fail the whole event, which
// the client would see as a 500: it is refused where it stands (see
// event.content).
func parse(payload []byte) (*event, error) {
	return plainjson.Whole(payload, readEvent, jsontext.AllowInvalidUTF8(true))
}

func readEvent(d *jsontext.Decoder) (*event, error) {
	e := &event{}
	return e, plainjson.Object(d, e.member)
}

// member reads what follows the name of a member.
func (e *event) member(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "version":
		e.version, err = plainjson.String(d)
	case "headers":
		e.headers, err = plainjson.Map(d, plainjson.String)
	case "body":
		e.body, err = plainjson.Value(d)
	case "isBase64Encoded":
		e.base64, err = plainjson.Bool(d)
	case "requestContext":
		err = plainjson.Object(d, e.contextMember)
	case "account", "mode":
		e.direct = true
		err = d.SkipValue()
	case "rawPath", "path":
		e.path, err = plainjson.String(d)
	case "rawQueryString":
		e.rawQuery, err = plainjson.String(d)
	case "httpMethod":
		e.method, err = plainjson.String(d)
	case "multiValueHeaders":
		e.multiValueHeaders, err = plainjson.Map(d, plainjson.Strings)
	case "multiValueQueryStringParameters":
		e.multiValueQuery, err = plainjson.Map(d, plainjson.Strings)
	default:
		err = d.SkipValue()
	}
	return err
}

func (e *event) contextMember(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "stage":
		e.stage, err = plainjson.String(d)
	case "http":
		err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
			if name == "method" {
				e.method, err = plainjson.String(d)
				return err
			}
			return d.SkipValue()
		})
	default:
		err = d.SkipValue()
	}
	return err
}

// request returns the HTTP request that e describes.
func (e *event) request(ctx context.Context) (*http.Request, error) {
	u := &url.URL{}
	switch e.version {
	case "2.0":
		u.Path = e.withoutStage(e.path)
		u.RawQuery = e.rawQuery
	case "1.0":
		u.Path = e.withoutStage(e.path)
		u.RawQuery = url.Values(e.multiValueQuery).Encode()
	case "":
		u.Path, u.RawPath = unescaped(e.path)
		u.RawQuery = url.Values(e.multiValueQuery).Encode()
	default:
		return nil, errNotHTTP
	}
	body, ok := e.content()
	if e.method == "" || !ok {
		return nil, errNotHTTP
	}

	header := e.header()
	host := header.Get("Host")
	header.Del("Host") // as net/http has it
	r := newRequest(ctx, e.method, u, header, body)
	r.Host = host
	return r, nil
}

// newRequest returns a request as a server of net/http has it.
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

// withoutStage returns an HTTP API's path as the client's URL has it after
// the stage. Such a path comes decoded, in both formats, and decoding it
// again would make two resources of "a%2Fb" one; and it begins with the stage,
// unless that is $default, also where a custom domain hides it.
func (e *event) withoutStage(path string) string {
	rest, found := strings.CutPrefix(path, "/"+e.stage)
	if found && strings.HasPrefix(rest, "/") && e.stage != "" && e.stage != "$default" {
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
	h := make(http.Header, len(e.headers))
	for name, values := range e.multiValueHeaders {
		for _, value := range values {
			h.Add(name, value)
		}
	}
	if len(h) > 0 {
		return h // the multi-value headers hold the others too
	}
	for name, value := range e.headers {
		h.Add(name, value)
	}
	return h
}

// content returns the bytes that the client sent, and whether there can be such.
//
// A body which the event could not carry whole (half a character, broken
// base64) is returned as the quoted text that stands in the event: a JSON
// string is no JSON object, so it is refused as the client's mistake and never
// stored as something else.
func (e *event) content() (body []byte, ok bool) {
	switch e.body.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull: // absent or null
		return nil, true
	case jsontext.KindString:
	default:
		return nil, false
	}
	body, err := jsontext.AppendUnquote(nil, e.body)
	if err == nil && e.base64 {
		body, err = base64.StdEncoding.AppendDecode(nil, body)
	}
	if err != nil {
		return e.body, true
	}
	return body, true
}
