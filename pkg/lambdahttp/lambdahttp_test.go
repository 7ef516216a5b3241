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

// A seen is what a handler was asked.
type seen struct {
	method, path, rawPath, query, host string
	header                             http.Header
	body                               string
	deadline                           time.Time
}

// recorder keeps what it is asked in last, and answers with respond.
func recorder(last *seen, respond http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		deadline, _ := r.Context().Deadline()
		*last = seen{r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, r.Header, string(body), deadline}
		if respond != nil {
			respond(w, r)
		}
	})
}

// An answer is a function's result as API Gateway reads it.
type answer struct {
	StatusCode        int
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Body              string
	IsBase64Encoded   bool
}

// invoke sends event, which is marshalled unless it is JSON text already.
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

// object is a JSON object, written shortly.
type object = map[string]any

// httpAPI is an event of an HTTP API's $default stage, format 2.0.
func httpAPI(method, path string) object {
	return object{"version": "2.0", "rawPath": path, "requestContext": object{
		"stage": "$default", "http": object{"method": method}}}
}

// restAPI is an event of a REST API, format 1.0.
func restAPI(method, path string) object {
	return object{"httpMethod": method, "path": path, "requestContext": object{"stage": "prod"}}
}

func with(event object, name string, value any) object {
	event[name] = value
	return event
}

// Each file in testdata is the same request, in one of the formats.
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
			var got seen
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
				t.Error("Host is among the headers; net/http keeps it apart")
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
		{"a percent sign alone is a path", httpAPI("GET", "/%"), "/%", ""},
		{"a question mark in a path does not begin a query", httpAPI("GET", "/a?b=c#d"), "/a?b=c#d", ""},
		{"slashes stay as they are", httpAPI("GET", "//api//crm/"), "//api//crm/", ""},
		{"a named stage is no part of the path (2.0)", named("2.0", "api", "/api/api/crm/lead"), "/api/crm/lead", ""},
		{"a named stage is no part of the path (1.0)", named("1.0", "api", "/api/api/crm/lead"), "/api/crm/lead", ""},
		{"a stage's name as the beginning of a word stays", named("2.0", "ap", "/api/crm/lead"), "/api/crm/lead", ""},
		{"the default stage is in no path", httpAPI("GET", "/$default/api/crm/lead"), "/$default/api/crm/lead", ""},
		{"no stage, nothing to cut", named("2.0", "", "//api"), "//api", ""},
		{"a REST API's path is decoded once", restAPI("GET", "/api/crm/lead/a%2Fb"), "/api/crm/lead/a/b", "/api/crm/lead/a%2Fb"},
		{"a REST API's path has no stage", restAPI("GET", "/prod/api"), "/prod/api", "/prod/api"},
		{"a REST API's path that cannot be decoded stays", restAPI("GET", "/api/%zz"), "/api/%zz", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got seen
			invoke(t, recorder(&got, nil), test.event)
			if got.path != test.path || got.rawPath != test.raw {
				t.Errorf("got %q (raw %q), want %q (raw %q)", got.path, got.rawPath, test.path, test.raw)
			}
		})
	}
}

func TestHeaderNamesAreWithoutCase(t *testing.T) {
	for _, name := range []string{"idempotency-key", "Idempotency-Key", "IDEMPOTENCY-KEY"} {
		for _, event := range []object{
			with(httpAPI("POST", "/"), "headers", object{name: "k"}),
			with(restAPI("POST", "/"), "headers", object{name: "k"}),
			with(restAPI("POST", "/"), "multiValueHeaders", object{name: []string{"k"}}),
		} {
			var got seen
			invoke(t, recorder(&got, nil), event)
			if !slices.Equal(got.header.Values("Idempotency-Key"), []string{"k"}) {
				t.Errorf("%v became %v", event, got.header)
			}
		}
	}
}

// What an event cannot carry whole must be refused by whoever reads a JSON
// object, and must not arrive as something that could be stored.
func TestBrokenBodyIsNoJSONObject(t *testing.T) {
	for name, event := range map[string][]byte{
		"half a surrogate pair": []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{\"city\":\"\ud800\"}"}`),
		"invalid UTF-8":         []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{\"city\":\"` + "\xff" + `\"}"}`),
		"broken base64":         []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{}","isBase64Encoded":true}`),
	} {
		t.Run(name, func(t *testing.T) {
			var got seen
			if a := invoke(t, recorder(&got, nil), event); a.StatusCode != 200 {
				t.Errorf("status %d", a.StatusCode)
			}
			if !strings.HasPrefix(got.body, `"`) {
				t.Errorf("the handler was given %q", got.body)
			}
		})
	}
}

// The document inside the body may be invalid too; that is for the handler to
// see, byte for byte.
func TestBase64BodyArrivesByteForByte(t *testing.T) {
	sent := "{\"city\":\"\xff\xfe\"}"
	var got seen
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
	t.Run("a silent handler means 200", func(t *testing.T) {
		silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		if a := invoke(t, silent, httpAPI("GET", "/")); a.StatusCode != 200 || a.Body != "" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("what is no text goes as base64", func(t *testing.T) {
		binary := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0}) })
		if a := invoke(t, binary, httpAPI("GET", "/")); a.Body != "/wA=" || !a.IsBase64Encoded {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("half a character in a header is no failure", func(t *testing.T) {
		odd := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", "\xff") })
		if a := invoke(t, odd, httpAPI("GET", "/")); a.StatusCode != 200 {
			t.Errorf("got %+v", a)
		}
	})
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	want := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.Background(), want)
	defer cancel()
	var got seen
	event, _ := json.Marshal(httpAPI("GET", "/"))
	if _, err := lambdahttp.New(recorder(&got, nil)).Invoke(ctx, event); err != nil {
		t.Fatal(err)
	}
	if !got.deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", got.deadline, want)
	}
}

func TestRequestIDIsLambdas(t *testing.T) {
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

func TestWhatIsNoHTTPEventIsAnError(t *testing.T) {
	for name, event := range map[string]string{
		"nothing":             ``,
		"no JSON":             `{`,
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

// Any request reaches the handler through either format as it does through
// net/http's own server.
func TestGatewayAndServerAgree(t *testing.T) {
	var direct, behind seen
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
				t.Fatalf("behind the gateway %+v\nbehind the server %+v", behind, direct)
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

// FuzzInvoke looks for an event that makes the door panic, answer what API
// Gateway cannot read, or hand over a text body other than the one sent.
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
		var got seen
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
		// The old package folds the case of names and mends broken text, so
		// it is a witness only for events in which there is none.
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
