package contract_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/test/contract"
)

// TestScriptsThroughGateway runs every script against the functions as they are
// deployed, one for each route and one for all other requests, with the events
// that API Gateway sends for requests.
func TestScriptsThroughGateway(t *testing.T) {
	for name, makeEvent := range map[string]func(call) any{
		"payload format 2.0": format2,
		"payload format 1.0": format1,
		"REST API":           formatREST,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leads, keys := newAPI(t)
			target := contract.Target{URL: "http://leads.test", Transport: newGateway(leads, makeEvent), Keys: keys}
			if name == "REST API" {
				target.Deviations = contract.KnownDeviations["rest-api"]
			}
			contract.Run(t, target)
		})
	}
}

// A function is a Lambda function.
type function interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// A gateway calls functions as API Gateway does.
type gateway struct {
	routes    []route
	unmatched function
	event     func(call) any
}

type route struct {
	method string
	path   *regexp.Regexp
	function
}

func newGateway(leads *api.API, event func(call) any) *gateway {
	g := &gateway{unmatched: lambdahttp.New(leads.Handler()), event: event}
	for _, r := range api.Routes() {
		path := regexp.MustCompile("^" + strings.ReplaceAll(r.Path, "{id}", "[^/]+") + "$")
		f := lambdahttp.New(leads.Handler(r))
		g.routes = append(g.routes, route{r.Method, path, f})
		if r.Method == http.MethodGet {
			g.routes = append(g.routes, route{http.MethodHead, path, f})
		}
	}
	return g
}

// functionFor returns the function that receives the request.
func (g *gateway) functionFor(r *http.Request) function {
	for _, route := range g.routes {
		if route.method == r.Method && route.path.MatchString(r.URL.EscapedPath()) {
			return route
		}
	}
	return g.unmatched
}

// A call is a request whose body was read.
type call struct {
	*http.Request
	text   string // the body
	base64 bool
}

// RoundTrip implements http.RoundTripper.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	c := call{Request: r}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		c.text = string(body)
		if c.base64 = !utf8.Valid(body); c.base64 {
			c.text = base64.StdEncoding.EncodeToString(body)
		}
	}
	payload, err := json.Marshal(g.event(c))
	if err != nil {
		return nil, err
	}
	result, err := g.functionFor(r).Invoke(r.Context(), payload)
	if err != nil {
		return nil, err
	}
	return readResult(result)
}

// An object is a JSON object.
type object = map[string]any

func format2(c call) any {
	headers := make(map[string]string)
	for name, values := range c.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return object{
		"version": "2.0", "rawPath": c.URL.Path, "rawQueryString": c.URL.RawQuery, "headers": headers,
		"requestContext": object{"stage": "$default", "http": object{"method": c.Method, "path": c.URL.Path}},
		"body":           c.text, "isBase64Encoded": c.base64,
	}
}

func format1(c call) any {
	e := formatREST(c).(object)
	e["version"], e["path"] = "1.0", c.URL.Path
	e["requestContext"] = object{"stage": "$default"}
	return e
}

func formatREST(c call) any {
	query := make(url.Values)
	for pair := range strings.SplitSeq(c.URL.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			query.Add(unescape(name), unescape(value))
		}
	}
	headers := make(map[string]string)
	for name, values := range c.Header {
		headers[name] = values[len(values)-1]
	}
	return object{
		"httpMethod": c.Method, "path": c.URL.EscapedPath(), "headers": headers, "multiValueHeaders": c.Header,
		"multiValueQueryStringParameters": query, "requestContext": object{"stage": "prod"},
		"body": c.text, "isBase64Encoded": c.base64,
	}
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// readResult returns the response that API Gateway sends for a function's result.
func readResult(result []byte) (*http.Response, error) {
	var a struct {
		StatusCode        int
		Headers           map[string]string
		MultiValueHeaders map[string][]string
		Body              string
		IsBase64Encoded   bool
	}
	if err := json.Unmarshal(result, &a); err != nil {
		return nil, err
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(a.Body)
		if err != nil {
			return nil, err
		}
		body = decoded
	}
	header := make(http.Header)
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	for name, values := range a.MultiValueHeaders {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	return &http.Response{StatusCode: a.StatusCode, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, nil
}
