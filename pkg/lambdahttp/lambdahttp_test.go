package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lambdahttp"
)

// seenRequest is the request that a handler got.
type seenRequest struct {
	method, path, rawPath, query, host string
	header                             http.Header
	body                               string
	deadline                           time.Time
}

// recorder returns a handler that keeps its last request in last and answers with
// respond.
func recorder(last *seenRequest, respond http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		deadline, _ := r.Context().Deadline()
		*last = seenRequest{r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, r.Header, string(body), deadline}
		if respond != nil {
			respond(w, r)
		}
	})
}

// answer is the result of a function as API Gateway reads it.
type answer struct {
	StatusCode        int
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Body              string
	IsBase64Encoded   bool
}

// invoke calls the function with an event: JSON text, or a value to marshal.
func invoke(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, h http.Handler, event any) answer {
	t.Helper()
	text, ok := event.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(event); err != nil {
			t.Fatal(err)
		}
	}
	out, err := lambdahttp.New(h).Invoke(context.Background(), text)
	if err != nil {
		t.Fatalf("%v\nevent: %s", err, text)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v\nanswer: %s", err, out)
	}
	return a
}

// object is a JSON object.
type object = map[string]any

// httpAPI returns an event of an HTTP API in format 2.0, of the stage $default.
func httpAPI(method, path string) object {
	return object{"version": "2.0", "rawPath": path, "requestContext": object{
		"stage": "$default", "http": object{"method": method}}}
}

// restAPI returns an event of a REST API in format 1.0.
func restAPI(method, path string) object {
	return object{"httpMethod": method, "path": path, "requestContext": object{"stage": "prod"}}
}

func with(event object, name string, value any) object {
	event[name] = value
	return event
}

// TestAcceptEncoding: API Gateway decodes the base64 text of a compressed answer,
// but a REST API only with certain settings.
func TestAcceptEncoding(t *testing.T) {
	headers := object{"accept-encoding": "gzip"}
	for want, event := range map[string]object{
		"gzip": with(httpAPI("GET", "/"), "headers", headers),
		"":     with(restAPI("GET", "/"), "headers", headers),
	} {
		var got seenRequest
		invoke(t, recorder(&got, nil), event)
		if encoding := got.header.Get("Accept-Encoding"); encoding != want {
			t.Errorf("Accept-Encoding is %q, want %q", encoding, want)
		}
	}
}

// TestEveryFormatIsTheSameRequest: each file in testdata is the same request in
// another format.
func TestEveryFormatIsTheSameRequest(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("testdata: %v, %v; want three events", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			event, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got seenRequest
			invoke(t, recorder(&got, nil), event)
			if got.method != "PATCH" || got.path != "/api/crm/lead/lead_1" || got.host != "abc123.execute-api.eu-west-1.amazonaws.com" {
				t.Errorf("got %s %s on %s", got.method, got.path, got.host)
			}
			query, err := url.ParseQuery(got.query)
			if err != nil || !slices.Equal(query["a"], []string{"1", "2"}) || query.Get("b") != " x" {
				t.Errorf("query %q, %v", got.query, err)
			}
			if got.body != `{"city":"Zürich 🏔"}` {
				t.Errorf("body %q", got.body)
			}
			if got.header.Get("Authorization") != "Bearer key" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", got.header)
			}
			if tags := strings.Join(got.header.Values("If-Match"), ","); tags != `"1","2"` {
				t.Errorf("If-Match: %s", tags)
			}
			if _, kept := got.header["Host"]; kept {
				t.Error("Host is one of the headers, unlike in net/http")
			}
		})
	}
}

func TestPath(t *testing.T) {
	named := func(version, stage, path string) object {
		return object{"version": version, "rawPath": path, "path": path, "httpMethod": "GET",
			"requestContext": object{"stage": stage, "http": object{"method": "GET"}}}
	}
	for _, test := range []struct {
		name      string
		event     object
		path, raw string
	}{
		{"an HTTP API's path is not decoded twice", httpAPI("GET", "/api/crm/lead/a%2Fb"), "/api/crm/lead/a%2Fb", ""},
		{"a path may be a percent sign", httpAPI("GET", "/%"), "/%", ""},
		{"a question mark in a path does not begin a query", httpAPI("GET", "/a?b=c#d"), "/a?b=c#d", ""},
		{"slashes stay as they are", httpAPI("GET", "//api//crm/"), "//api//crm/", ""},
		{"a named stage is not part of the path (2.0)", named("2.0", "api", "/api/api/crm/lead"), "/api/crm/lead", ""},
		{"a named stage is not part of the path (1.0)", named("1.0", "api", "/api/api/crm/lead"), "/api/crm/lead", ""},
		{"the name of the stage may begin a longer segment", named("2.0", "ap", "/api/crm/lead"), "/api/crm/lead", ""},
		{"the default stage is not part of the path", httpAPI("GET", "/$default/api/crm/lead"), "/$default/api/crm/lead", ""},
		{"without a stage the path stays", named("2.0", "", "//api"), "//api", ""},
		{"a REST API's path is decoded once", restAPI("GET", "/api/crm/lead/a%2Fb"), "/api/crm/lead/a/b", "/api/crm/lead/a%2Fb"},
		{"a REST API's path does not have the stage", restAPI("GET", "/prod/api"), "/prod/api", "/prod/api"},
		{"a REST API's path that cannot be decoded stays", restAPI("GET", "/api/%zz"), "/api/%zz", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got seenRequest
			invoke(t, recorder(&got, nil), test.event)
			if got.path != test.path || got.rawPath != test.raw {
				t.Errorf("got %q (raw %q), want %q (raw %q)", got.path, got.rawPath, test.path, test.raw)
			}
		})
	}
}

func TestHeaderNamesIgnoreCase(t *testing.T) {
	for _, name := range []string{"idempotency-key", "Idempotency-Key", "IDEMPOTENCY-KEY"} {
		for _, event := range []object{
			with(httpAPI("POST", "/"), "headers", object{name: "k"}),
			with(restAPI("POST", "/"), "headers", object{name: "k"}),
			with(restAPI("POST", "/"), "multiValueHeaders", object{name: []string{"k"}}),
		} {
			var got seenRequest
			invoke(t, recorder(&got, nil), event)
			if !slices.Equal(got.header.Values("Idempotency-Key"), []string{"k"}) {
				t.Errorf("%v became %v", event, got.header)
			}
		}
	}
}

func TestHeaderValuesAreTrimmed(t *testing.T) {
	for _, event := range []object{
		with(httpAPI("GET", "/"), "headers", object{"If-Match": " \"1\" \t"}),
		with(restAPI("GET", "/"), "headers", object{"If-Match": "\"1\" "}),
		with(restAPI("GET", "/"), "multiValueHeaders", object{"If-Match": []string{"\"1\" "}}),
	} {
		var got seenRequest
		invoke(t, recorder(&got, nil), event)
		if value := got.header.Get("If-Match"); value != `"1"` {
			t.Errorf("the header is %q", value)
		}
	}
}

// TestLocationHasTheStage: a client finds the address below the stage that it used.
func TestLocationHasTheStage(t *testing.T) {
	http2 := func(stage, domain, path string) object {
		return object{"version": "2.0", "rawPath": path, "requestContext": object{
			"stage": stage, "domainName": domain, "http": object{"method": "POST"}}}
	}
	http1 := func(stage, domain, path string) object {
		return object{"version": "1.0", "path": path, "httpMethod": "POST", "requestContext": object{"stage": stage, "domainName": domain}}
	}
	rest := func(path, contextPath string) object {
		return object{"path": path, "httpMethod": "POST", "requestContext": object{"stage": "prod", "path": contextPath}}
	}
	const aws, custom = "abc.execute-api.eu-west-1.amazonaws.com", "api.example.com"
	for _, test := range []struct {
		name           string
		event          object
		location, want string
	}{
		{"an HTTP API's default stage (2.0)", http2("$default", aws, "/api/leads"), "/api/leads/1", "/api/leads/1"},
		{"an HTTP API's named stage (2.0)", http2("prod", aws, "/prod/api/leads"), "/api/leads/1", "/prod/api/leads/1"},
		{"an HTTP API's named stage (1.0)", http1("prod", aws, "/prod/api/leads"), "/api/leads/1", "/prod/api/leads/1"},
		{"a custom domain hides the stage (2.0)", http2("prod", custom, "/prod/api/leads"), "/api/leads/1", "/api/leads/1"},
		{"a custom domain hides the stage (1.0)", http1("prod", custom, "/prod/api/leads"), "/api/leads/1", "/api/leads/1"},
		{"a REST API's stage", rest("/api/leads", "/prod/api/leads"), "/api/leads/1", "/prod/api/leads/1"},
		{"a custom domain hides a REST API's stage", rest("/api/leads", "/api/leads"), "/api/leads/1", "/api/leads/1"},
		{"an absolute address stays", http2("prod", aws, "/prod/api/leads"), "https://example.com/1", "https://example.com/1"},
		{"without Location there is none", http2("prod", aws, "/prod/api/leads"), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.location != "" {
					w.Header().Set("Location", test.location)
				}
			})
			a := invoke(t, h, test.event)
			got := append(a.MultiValueHeaders["Location"], a.Headers["Location"])[0]
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestInvalidBodyIsNotAnObject: the API must refuse a body that is not valid in the
// event, and must not store a changed form of it. It refuses a JSON string.
func TestInvalidBodyIsNotAnObject(t *testing.T) {
	for name, event := range map[string][]byte{
		"a lone surrogate": []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{\"city\":\"\ud800\"}"}`),
		"invalid UTF-8":    []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{\"city\":\"` + "\xff" + `\"}"}`),
		"invalid base64":   []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{}","isBase64Encoded":true}`),
	} {
		t.Run(name, func(t *testing.T) {
			var got seenRequest
			if a := invoke(t, recorder(&got, nil), event); a.StatusCode != 200 {
				t.Errorf("status %d", a.StatusCode)
			}
			if !strings.HasPrefix(got.body, `"`) {
				t.Errorf("the handler got %q", got.body)
			}
		})
	}
}

// TestBase64BodyIsUnchanged: the decoded body may be invalid UTF-8. The handler must
// get it unchanged.
func TestBase64BodyIsUnchanged(t *testing.T) {
	sent := "{\"city\":\"\xff\xfe\"}"
	var got seenRequest
	event := with(httpAPI("POST", "/"), "body", base64.StdEncoding.EncodeToString([]byte(sent)))
	invoke(t, recorder(&got, nil), with(event, "isBase64Encoded", true))
	if got.body != sent {
		t.Errorf("got %q, want %q", got.body, sent)
	}
}

func TestAnswer(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Add("Vary", "A")
		w.Header().Add("Vary", "B")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusInternalServerError)
		w.Header().Set("Etag", "too late")
		io.WriteString(w, `{"city":`)
		io.WriteString(w, `"<Zürich> & \u2028"}`)
	})
	const body = `{"city":"<Zürich> & \u2028"}`

	t.Run("2.0 joins headers", func(t *testing.T) {
		a := invoke(t, h, httpAPI("POST", "/"))
		if a.StatusCode != 201 || a.Body != body || a.IsBase64Encoded {
			t.Errorf("got %+v", a)
		}
		if a.Headers["Etag"] != `"1"` || a.Headers["Vary"] != "A, B" || a.MultiValueHeaders != nil {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("1.0 lists headers", func(t *testing.T) {
		a := invoke(t, h, restAPI("POST", "/"))
		if a.StatusCode != 201 || a.Body != body || a.IsBase64Encoded {
			t.Errorf("got %+v", a)
		}
		if !slices.Equal(a.MultiValueHeaders["Vary"], []string{"A", "B"}) || a.Headers != nil {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("HEAD has no body", func(t *testing.T) {
		if a := invoke(t, h, httpAPI("HEAD", "/")); a.StatusCode != 201 || a.Body != "" || a.Headers["Etag"] != `"1"` {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("a handler that writes nothing answers 200", func(t *testing.T) {
		idle := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		if a := invoke(t, idle, httpAPI("GET", "/")); a.StatusCode != 200 || a.Body != "" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("a body that is not text is sent as base64", func(t *testing.T) {
		binary := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0}) })
		if a := invoke(t, binary, httpAPI("GET", "/")); a.Body != "/wA=" || !a.IsBase64Encoded {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("invalid UTF-8 in a header is not an error", func(t *testing.T) {
		invalid := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", "\xff") })
		if a := invoke(t, invalid, httpAPI("GET", "/")); a.StatusCode != 200 {
			t.Errorf("got %+v", a)
		}
	})
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	want := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.Background(), want)
	defer cancel()
	var got seenRequest
	event, _ := json.Marshal(httpAPI("GET", "/"))
	if _, err := lambdahttp.New(recorder(&got, nil)).Invoke(ctx, event); err != nil {
		t.Fatal(err)
	}
	if !got.deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", got.deadline, want)
	}
}

func TestRequestIDIsThatOfLambda(t *testing.T) {
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "8476a536-e9f4"})
	event, _ := json.Marshal(with(httpAPI("GET", "/"), "headers", object{"request-id": "forged"}))
	out, err := lambdahttp.New(api.New(api.Config{}).Handler()).Invoke(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil || a.Headers["Request-Id"] != "8476a536-e9f4" {
		t.Errorf("answered %s, %v", out, err)
	}
}

func TestOtherEventsAreErrors(t *testing.T) {
	for name, event := range map[string]string{
		"nothing":             ``,
		"not JSON":            `{`,
		"null":                `null`,
		"an array":            `[]`,
		"an empty object":     `{}`,
		"a queue's event":     `{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`,
		"an unknown version":  `{"version":"3.0","httpMethod":"GET","path":"/"}`,
		"2.0 without method":  `{"version":"2.0","rawPath":"/"}`,
		"a body as an object": `{"httpMethod":"POST","path":"/","body":{}}`,
		"two bodies":          `{"httpMethod":"POST","path":"/","body":"1","body":"2"}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			if out, err := lambdahttp.New(h).Invoke(context.Background(), []byte(event)); err == nil {
				t.Errorf("got %s, want an error", out)
			}
		})
	}
}

// TestEventsAndServerAgree: the handler gets any request from an event of either
// format as it gets it from the server of net/http.
func TestEventsAndServerAgree(t *testing.T) {
	var direct, behind seenRequest
	h := recorder(&direct, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", url.PathEscape(r.URL.Path))
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, r.URL.RawQuery)
	})
	server := httptest.NewServer(h)
	defer server.Close()

	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"}).Draw(t, "method")
		path := "/" + rapid.StringOf(rapid.RuneFrom([]rune("ab/%?#ü 🏔+"))).Draw(t, "path")
		query := url.Values(rapid.MapOf(rapid.StringMatching(`[a-z]{1,3}`),
			rapid.SliceOfN(rapid.String(), 1, 3)).Draw(t, "query"))
		tags := rapid.StringMatching(`[!-~]([ -~]*[!-~])?`).Draw(t, "If-Match")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")

		r, err := http.NewRequest(method, server.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = path, query.Encode()
		r.Header.Set("If-Match", tags)
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		want, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}

		v2 := httpAPI(method, path)
		v2["rawQueryString"], v2["headers"] = query.Encode(), object{"if-match": tags}
		v1 := restAPI(method, r.URL.EscapedPath())
		v1["multiValueQueryStringParameters"], v1["multiValueHeaders"] = query, object{"If-Match": []string{tags}}
		for _, event := range []object{v2, v1} {
			event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
			if utf8.Valid(body) && rapid.Bool().Draw(t, "as text") {
				event["body"], event["isBase64Encoded"] = string(body), false
			}
			a := invoke(t, recorder(&behind, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Path", url.PathEscape(r.URL.Path))
				w.WriteHeader(http.StatusAccepted)
				io.WriteString(w, r.URL.RawQuery)
			}), event)
			if behind.method != direct.method || behind.path != direct.path || behind.query != direct.query || behind.body != direct.body {
				t.Fatalf("from the event %+v\nfrom the server %+v", behind, direct)
			}
			if got := behind.header.Get("If-Match"); got != direct.header.Get("If-Match") {
				t.Fatalf("If-Match %q, want %q", got, direct.header.Get("If-Match"))
			}
			if a.StatusCode != res.StatusCode || a.Body != string(want) {
				t.Fatalf("answered %+v, want %d %q", a, res.StatusCode, want)
			}
		}
	})
}

// FuzzInvoke looks for an event that makes the function panic or answer what API
// Gateway cannot read, or whose text body changes on its way to the handler.
func FuzzInvoke(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		event, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(event)
	}
	f.Add([]byte(`{"version":"2.0","rawPath":"%","requestContext":{"stage":"x","http":{"method":"\ud800"}},"body":"\udc00"}`))
	f.Add([]byte(`{"httpMethod":" ","path":"%2","multiValueHeaders":{"\u0000":[""]},"isBase64Encoded":true,"body":"="}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		var got seenRequest
		echo := recorder(&got, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Path", r.URL.Path)
			io.WriteString(w, r.RequestURI)
		})
		out, err := lambdahttp.New(echo).Invoke(context.Background(), event)
		if err != nil {
			return
		}
		var a answer
		if err := json.Unmarshal(out, &a); err != nil || !utf8.Valid(out) || a.StatusCode != http.StatusOK {
			t.Fatalf("answered %s, %v", out, err)
		}
		var sent struct {
			Body            *string
			IsBase64Encoded bool
		}
		// encoding/json ignores the case of names and replaces invalid text, so
		// it cannot check events that have such.
		if json.Unmarshal(event, &sent) != nil || sent.Body == nil || sent.IsBase64Encoded {
			return
		}
		if strings.ContainsRune(*sent.Body, utf8.RuneError) || bytes.Count(bytes.ToLower(event), []byte(`body`)) != 1 {
			return
		}
		if got.body != *sent.Body {
			t.Fatalf("the handler was given %q, want %q", got.body, *sent.Body)
		}
	})
}
