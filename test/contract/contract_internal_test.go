package contract

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/tools/txtar"
)

// These tests run the runner against a handler that is no lead API. It returns
// what a script asks for, so that each check is seen to pass and to fail.

// newFakeAPI returns a handler that answers /status/N with an error of that
// status, /echo with what it was sent, /answer with the body of the request, and
// /fault/NAME with a response that breaks one rule.
func newFakeAPI() http.Handler {
	mux := http.NewServeMux()
	var mu sync.Mutex
	n := 0
	id := func(w http.ResponseWriter) string {
		mu.Lock()
		defer mu.Unlock()
		n++
		id := "r" + strconv.Itoa(n)
		h := w.Header()
		h.Set("Request-Id", id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Type", "application/json")
		return id
	}
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		id(w)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("X-Empty", "")
		answer, err := json.Marshal(map[string]any{
			"method": r.Method, "uri": r.URL.RequestURI(), "type": r.Header.Values("Content-Type"),
			"authorization": r.Header.Get("Authorization") != "", "basic": strings.HasPrefix(r.Header.Get("Authorization"), "Basic sk_"),
			"x": r.Header.Values("X"), "length": r.ContentLength, "body": string(body),
		})
		if err != nil {
			panic(err)
		}
		w.Write(answer)
	})
	mux.HandleFunc("POST /answer", func(w http.ResponseWriter, r *http.Request) {
		id(w)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/status/{status}", func(w http.ResponseWriter, r *http.Request) {
		id := id(w)
		status, err := strconv.Atoi(r.PathValue("status"))
		if err != nil {
			panic(err)
		}
		w.Header().Set("Allow", "GET")
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(status)
		if status < 400 {
			return
		}
		param, list := "null", ""
		if status == 400 {
			param, list = `"b"`, `{"param":"b","code":"parameter_invalid","message":"Do."},{"param":"a","code":"parameter_unknown","message":"Do not."}`
		}
		code := errorClasses[status].codes[0]
		if status == 400 {
			code = "parameter_invalid"
		}
		fmt.Fprintf(w, `{"error":{"type":%q,"code":%q,"message":"Do.","param":%s,"request_id":%q,"errors":[%s]}}`, errorClasses[status].kind, code, param, id, list)
	})
	faults := map[string]func(w http.ResponseWriter, id string){
		"no-request-id":   func(w http.ResponseWriter, id string) { w.Header().Del("Request-Id") },
		"two-request-ids": func(w http.ResponseWriter, id string) { w.Header().Add("Request-Id", "other") },
		"old-request-id":  func(w http.ResponseWriter, id string) { w.Header().Set("Request-Id", "old") },
		"cached":          func(w http.ResponseWriter, id string) { w.Header().Set("Cache-Control", "no-cache") },
		"sniffed":         func(w http.ResponseWriter, id string) { w.Header().Del("X-Content-Type-Options") },
		"plain": func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte("{}"))
		},
		"no-json":  func(w http.ResponseWriter, id string) { w.Write([]byte("{")) },
		"twice":    func(w http.ResponseWriter, id string) { w.Write([]byte(`{"a":1,"a":2}`)) },
		"no-allow": func(w http.ResponseWriter, id string) { w.WriteHeader(405) },
		"no-body":  func(w http.ResponseWriter, id string) { w.WriteHeader(404) },
		"five-members": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"route_unknown","message":"Do.","param":null,"request_id":%q}}`, id)
		},
		"wrong-type": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"type":"api_error","code":"route_unknown","message":"Do.","param":null,"request_id":%q,"errors":[]}}`, id)
		},
		"wrong-code": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"internal","message":"Do.","param":null,"request_id":%q,"errors":[]}}`, id)
		},
		"wrong-id": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			io.WriteString(w, `{"error":{"type":"invalid_request_error","code":"route_unknown","message":"Do.","param":null,"request_id":"zzz","errors":[]}}`)
		},
		"no-message": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"route_unknown","message":"","param":null,"request_id":%q,"errors":[]}}`, id)
		},
		"errors-null": func(w http.ResponseWriter, id string) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"route_unknown","message":"Do.","param":null,"request_id":%q,"errors":null}}`, id)
		},
		"first-not-repeated": func(w http.ResponseWriter, id string) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"parameter_invalid","message":"Do.","param":"a","request_id":%q,"errors":[{"param":"b","code":"parameter_invalid","message":"Do."}]}}`, id)
		},
		"errors-without-param": func(w http.ResponseWriter, id string) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"parameter_invalid","message":"Do.","param":null,"request_id":%q,"errors":[{"param":null,"code":"parameter_invalid","message":"Do."}]}}`, id)
		},
		"param-without-errors": func(w http.ResponseWriter, id string) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"parameter_invalid","message":"Do.","param":"a","request_id":%q,"errors":[]}}`, id)
		},
	}
	mux.HandleFunc("/fault/{name}", func(w http.ResponseWriter, r *http.Request) { faults[r.PathValue("name")](w, id(w)) })
	mux.HandleFunc("/fault/key", func(w http.ResponseWriter, r *http.Request) {
		id(w)
		fmt.Fprintf(w, "%q", r.Header.Get("Authorization"))
	})
	return mux
}

// A recorder is a testing.TB that records failures.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}

// newTestKey makes a key of the contract's form. It is not a constant, because
// secret scanners take such texts for the keys of a well-known vendor.
func newTestKey(mode string) string {
	body := "sk_" + mode + "_" + strings.Repeat("a1Z", 4) + strings.Repeat("b2Yc", 8)
	return body + checksum(body)
}

// runText runs one script against h and returns its failures.
func runText(t *testing.T, h http.Handler, text string) []string {
	t.Helper()
	recorder := &recorder{TB: t}
	target := Target{URL: "http://leads.test", Transport: Handler(h), Keys: map[string]string{Main: newTestKey("test"), OtherMode: newTestKey("live")}}
	(&runner{t: recorder, target: target, script: script{"case", txtar.Parse([]byte(text))}, requestIDs: new(sync.Map)}).run()
	return recorder.failures
}

func TestChecksPass(t *testing.T) {
	cases := map[string]string{
		"status is one of several": "GET /status/404\nstatus ~ ^(400|404)$",
		"header is there":          "GET /echo\nheader ETag ~ .\nheader etag == \"v1\"\nheader Location == (absent)",
		"header does not match":    "GET /echo\nheader ETag !~ v2",
		"json compares numbers by value": "POST /answer {\"a\":1e2,\"b\":-0}\n" +
			"json .a == 100\njson .b == 0\njson . == {\"b\":0.0,\"a\":100.00}",
		"json takes a file with variables": "v = \"x\"\nPOST /answer [\"x\"]\njson . == want.json\njson .[0] == \"$v\"\n-- want.json --\n[\n \"$v\"\n]\n",
		"~ sees the number's text":         "POST /answer {\"a\":-0,\"s\":\"x\"}\njson .a ~ ^-0$\njson .s ~ ^x$\njson .s !~ ^y$",
		"~ takes variables literally":      "v = \".\"\nPOST /answer {\"a\":\"x\"}\njson .a !~ ^$v$",
		"members in order":                 "POST /answer {\"b\":1,\"a\":{}}\nmembers . == b a\nmembers . == names.txt\n-- names.txt --\nb\na\n",
		"length of an array":               "POST /answer {\"a\":[1,2]}\nlength .a == 2",
		"error with no parameter":          "GET /status/404\nerror 404 resource_missing",
		"error with violations in any order": "GET /status/400\nerror 400 parameter_unknown a, parameter_invalid b\n" +
			"error 400 parameter_invalid b, parameter_unknown a",
		"no body":                              "GET /status/204\nbody == (absent)",
		"same response but for its request id": "GET /status/404\na = response\nGET /status/404\nresponse == $a",
		"variables of a string, a value, a header": "POST /answer {\"a\":\"x\",\"b\":{\"c\":1}}\na = json .a\nb = json .b\njson .a == \"$a\"\njson .b == $b\n" +
			"GET /echo\ne = header ETag\nheader ETag == $e\nheader ETag == ${e}",
		"a string is repeated":               "a = \"é\"*3 + `\"` + \"\\u0000\"\nPOST /echo $a\njson .body == \"ééé\\\"\\u0000\"",
		"a sum and a difference":             "n = 40 + 2\nm = $n - 1\nPOST /answer [42,41]\njson . == [$n,$m]",
		"text is not the same, text follows": "POST /answer {\"a\":\"b\"}\njson .a != a\njson .a > a",
		"unique":                             "POST /answer \"$unique\"\njson . ~ ^[a-z0-9]{10,}$",
		"request without a body has no type": "POST /echo\njson .type == []\njson .length == 0\njson .uri == \"/echo\"",
		"request with an empty body has one": "empty = \"\"\nPOST /echo $empty\njson .type == [\"application/json\"]\njson .length == 0",
		"chunked":                            "POST /echo {}\nTransfer-Encoding: chunked\njson .length == -1\njson .body == \"{}\"",
		"headers are for one request":        "GET /echo?q=1\nX: a\nX: b\njson .x == [\"a\",\"b\"]\njson .uri == \"/echo?q=1\"\nGET /echo\njson .x == []",
		"an empty header is sent":            "GET /echo\nX:\njson .x == [\"\"]",
		"a header replaces the type":         "POST /echo {}\nContent-Type: text/plain\njson .type == [\"text/plain\"]",
		"an absent header is not sent":       "POST /echo {}\nContent-Type: (absent)\njson .type == []\nPOST /echo {}\njson .type == [\"application/json\"]",
		"key none":                           "GET /echo\njson .authorization == true\nkey none\nGET /echo\njson .authorization == false\nkey main\nGET /echo\njson .authorization == true",
		"key in a header":                    "GET /echo\nAuthorization: Basic {key}\njson .basic == true",
		"repeat":                             "repeat 3 GET /echo\njson .method == \"GET\"",
		"at the same time":                   "GET /echo &\nX: a\nPOST /echo &\nX: a\njson .x == [\"a\"]\nGET /echo\njson .x == []",
		"head has no body":                   "HEAD /status/404\nstatus == 404\nbody == (absent)",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if failures := runText(t, newFakeAPI(), text); len(failures) > 0 {
				t.Errorf("it failed: %s", failures)
			}
		})
	}
}

func TestChecksFail(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"wrong status", "GET /status/404\nstatus == 200", `it is "404"`},
		{"no such header", "GET /echo\nheader Location ~ .", "there is no header Location"},
		{"no such header to match", "GET /echo\nheader Location !~ x", "there is no header Location"},
		{"header differs", "GET /echo\nheader ETag ~ v2", "it is"},
		{"unwanted header", "GET /echo\nheader ETag == (absent)", "it is"},
		{"empty header is not absent", "GET /echo\nheader X-Empty == (absent)", `it is ""`},
		{"other number", "POST /answer {\"a\":1.0000000000000000000000000000000000001}\njson .a == 1", "it is 1.0000000000000000000000000000000000001"},
		{"other string", "POST /answer {\"a\":\"e\\u0301\"}\njson .a == \"é\"", "differs"},
		{"string for number", "POST /answer {\"a\":\"1\"}\njson .a == 1", "differs"},
		{"more members", "POST /answer {\"a\":1,\"b\":2}\njson . == {\"a\":1}", `"b"`},
		{"fewer members", "POST /answer {\"a\":1}\njson . == {\"a\":1,\"b\":null}", `"b"`},
		{"other element", "POST /answer [1,2]\njson . == [1,3]", "differs"},
		{"more elements", "POST /answer [1,2]\njson . == [1]", "differs"},
		{"no such path", "POST /answer {\"a\":1}\njson .b == null", "there is no .b"},
		{"null is no object", "POST /answer null\njson .b == null", "there is no .b"},
		{"no match", "POST /answer {\"a\":1}\njson .a ~ 2", `it is "1"`},
		{"a match", "POST /answer {\"a\":1}\njson .a !~ 1", `it is "1"`},
		{"other order of members", "POST /answer {\"b\":1,\"a\":1}\nmembers . == a b", `it is "b a"`},
		{"other length", "POST /answer [1]\nlength . == 2", `it is "1"`},
		{"other error status", "GET /status/404\nerror 400 json_invalid", "the status is 404"},
		{"other error code", "GET /status/404\nerror 404 route_unknown", `the violations are ["resource_missing"]`},
		{"parameter where none is expected", "GET /status/400\nerror 400 parameter_invalid", `the violations are ["parameter_invalid b"`},
		{"one violation of two", "GET /status/400\nerror 400 parameter_invalid b", `the violations are`},
		{"violation missing", "GET /status/400\nerror 400 parameter_invalid b, parameter_too_long a", `want ["parameter_invalid b" "parameter_too_long a"]`},
		{"no error at all", "GET /echo\nerror 200 json_invalid", "one member error"},
		{"body where none is expected", "GET /echo\nbody == (absent)", "it is"},
		{"other response", "GET /status/404\na = response\nGET /status/403\nresponse == $a", `it is "403`},
		{"other headers", "POST /answer {}\na = response\nGET /echo\nresponse == $a", "Etag"},
		{"other body", "POST /answer {}\na = response\nPOST /answer []\nresponse == $a", "it is"},
		{"texts differ", "POST /answer {\"a\":\"a\"}\njson .a != a", `it is "a"`},
		{"texts not in order", "POST /answer {\"a\":\"a\"}\njson .a > a", `it is "a"`},
		{"no header for a variable", "GET /echo\na = header Location", "there is no header Location"},
		{"one of several differs", "GET /status/404 &\nGET /status/403 &\nstatus == 404", `it is "403"`},

		{"no request yet", "header ETag == (absent)", "no request was sent before"},
		{"no request yet for a variable", "a = status", "no request was sent before"},
		{"bad expression", "GET /echo\nheader ETag !~ (", "missing closing"},
		{"bad path", "GET /echo\njson a !~ b", "is no path"},
		{"missing file", "POST /echo a.json", "there is no file a.json"},
		{"variable without a value", "GET /$nothing", "$nothing has no value"},
		{"variable without a value in a file", "POST /echo a.json\n-- a.json --\n$nothing\n", "$nothing has no value"},
		{"unknown key", "key nobody", "no key named"},
		{"key that the target has not", "key expired", "has no key named expired"},
		{"no JSON", "GET /echo\njson . == {", "is not JSON"},
		{"unquoted text", "a = b", "undefined: b"},
		{"no expression", "a = \"", "string literal not terminated"},
		{"no sum", "a = 1 + \"a\"", "mismatched types"},
		{"a string is not subtracted", "a = \"a\" - \"a\"", "not defined"},
		{"unknown statement", "exec ls", "no statement"},
		{"header without a request", "X: a", "no statement"},
		{"unknown value", "GET /echo\nmoon == 1", "no statement"},
		{"unknown operator", "GET /echo\nstatus <> 1", "no statement"},

		{"no request id", "GET /fault/no-request-id", "one Request-Id"},
		{"two request ids", "GET /fault/two-request-ids", "one Request-Id"},
		{"one request id twice", "repeat 2 GET /fault/old-request-id", "was given to another request"},
		{"may be cached", "GET /fault/cached", "Cache-Control"},
		{"may be sniffed", "GET /fault/sniffed", "X-Content-Type-Options"},
		{"text", "GET /fault/plain", "application/json"},
		{"broken JSON", "GET /fault/no-json", "not valid JSON"},
		{"name twice", "GET /fault/twice", "not valid JSON"},
		{"405 without Allow", "GET /fault/no-allow", "has Allow"},
		{"error without a body", "GET /fault/no-body", "one member error"},
		{"five members", "GET /fault/five-members", "an error has the members"},
		{"type of another status", "GET /fault/wrong-type", "the type of status 404"},
		{"code of another status", "GET /fault/wrong-code", "status 404 has the codes"},
		{"another request id", "GET /fault/wrong-id", "request_id is"},
		{"empty message", "GET /fault/no-message", "says what to do"},
		{"errors is null", "GET /fault/errors-null", "errors is a list"},
		{"first violation not repeated", "GET /fault/first-not-repeated", "do not repeat the first"},
		{"param without errors", "GET /fault/param-without-errors", "errors is empty"},
		{"errors without param", "GET /fault/errors-without-param", "do not repeat the first"},
		{"key comes back", "GET /fault/key", "contains the API key"},
		{"broken rule at the same time", "GET /fault/cached &\nGET /echo &", "Cache-Control"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			failures := strings.Join(runText(t, newFakeAPI(), c.text), "\n")
			if !strings.Contains(failures, c.want) {
				t.Errorf("the failure is %q, want one with %q", failures, c.want)
			}
			if strings.Contains(failures, newTestKey("test")) {
				t.Error("the failure shows the key")
			}
		})
	}
}

func TestRepeatedRequestsAreAllChecked(t *testing.T) {
	n, fake := 0, newFakeAPI()
	flaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		r.URL.Path = "/status/" + []string{"200", "204"}[n/3]
		fake.ServeHTTP(w, r)
	})
	if got := strings.Join(runText(t, flaky, "repeat 3 GET /\nstatus == 200"), "\n"); !strings.Contains(got, `it is "204"`) {
		t.Errorf("the failures are %q", got)
	}
}

func TestCreatedLeadsAreDeletedWithTheirKey(t *testing.T) {
	var deleted []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Request-Id", rand.Text())
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Type", "application/json")
		if r.Method == "DELETE" {
			deleted = append(deleted, r.URL.Path+" "+r.Header.Get("Authorization"))
			io.WriteString(w, "{}")
			return
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"id":"lead_1"}`)
	})
	failures := runText(t, h, "key other-mode\nPOST /api/crm/lead\nkey main\nstatus == 200")
	if want := []string{"/api/crm/lead/lead_1 Bearer " + newTestKey("live")}; !slices.Equal(deleted, want) {
		t.Error("the lead of a script that failed was not deleted with its own key")
	}
	if len(failures) == 0 {
		t.Error("a wrong status passed")
	}
}

func TestCurl(t *testing.T) {
	r, err := parseCurl("curl https://api.overplane.dev/api/crm/lead/lead_abc123 \\\n-H \"Authorization: Bearer sk_test_...\" \\\n-X PATCH \\\n"+
		"-H \"Content-Type: application/json\" \\\n-d '{\"lead_name\":\"lead name\"}'", "lead_1", Main)
	if err != nil {
		t.Fatal(err)
	}
	if r.method != "PATCH" || r.path != "/api/crm/lead/lead_1" || *r.body != `{"lead_name":"lead name"}` {
		t.Errorf("the request is %s %s %s", r.method, r.path, *r.body)
	}
	if a, c := r.header.Get("Authorization"), r.header.Get("Content-Type"); a != "Bearer {key}" || c != "application/json" {
		t.Errorf("Authorization is %q, Content-Type is %q", a, c)
	}
}

func TestCurlRefuses(t *testing.T) {
	for name, command := range map[string]string{
		"another program":       "wget https://api.overplane.dev/a",
		"another host":          "curl https://example.com/a",
		"an option of its own":  "curl https://api.overplane.dev/lead_abc123 --fail x",
		"an option without end": "curl https://api.overplane.dev/lead_abc123 -H",
		"no header":             "curl https://api.overplane.dev/lead_abc123 -H nothing",
		"an open quote":         "curl https://api.overplane.dev/lead_abc123 -d 'x",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseCurl(command, "lead_1", Main); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestAlteredKeysHaveOneFault(t *testing.T) {
	valid := newTestKey("test")
	for _, c := range []struct {
		how                        string
		sameID, sameSecret, sumFit bool
		mode                       string
	}{
		{"wrong-secret", true, false, true, "test"},
		{"unknown", false, true, true, "test"},
		{"wrong-mode", true, true, true, "live"},
		{"bad-checksum", true, true, false, "test"},
	} {
		t.Run(c.how, func(t *testing.T) {
			got, err := alterKey(valid, c.how)
			if err != nil {
				t.Fatal(err)
			}
			id, secret, body := got[8:20] == valid[8:20], got[20:52] == valid[20:52], got[:52]
			if id != c.sameID || secret != c.sameSecret || (checksum(body) == got[52:]) != c.sumFit || got[3:7] != c.mode || len(got) != len(valid) {
				t.Errorf("same id %t, same secret %t, checksum fits %t, mode %s", id, secret, checksum(body) == got[52:], got[3:7])
			}
		})
	}
	if got, err := alterKey(valid, "truncated"); err != nil || got != valid[:57] {
		t.Error("truncated is not the key without its last character")
	}
	if _, err := alterKey("short", "unknown"); err == nil {
		t.Error("a key of another form was altered")
	}
}

// The text and its CRC32 are the well-known check value of that sum:
// 0xCBF43926 = 3421780262 = 3*62^5 + 45*62^4 + 35*62^3 + 27*62^2 + 22*62 + 14.
func TestChecksumIsBase62MostSignificantDigitFirst(t *testing.T) {
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("the checksum is %s, want 3jZRME", got)
	}
}
