package contract

import (
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

// The runner is proven here against a handler that is no lead API: it answers
// whatever a line asks for, so that each command is seen to pass and to fail.

// teller answers /status/N with an error of that status, /echo with what it
// was sent, /text/… with that text, and /fault/… with an answer that breaks one
// rule for all.
func teller() http.Handler {
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
		code := errorCodes[status][0]
		if status == 400 {
			code = "parameter_invalid"
		}
		fmt.Fprintf(w, `{"error":{"type":%q,"code":%q,"message":"Do.","param":%s,"request_id":%q,"errors":[%s]}}`, errorTypes[status], code, param, id, list)
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

// A verdict is a testing.TB that records instead of failing the test around it.
type verdict struct {
	testing.TB
	failures []string
}

func (v *verdict) Helper()    {}
func (v *verdict) Log(...any) {}
func (v *verdict) Errorf(f string, args ...any) {
	v.failures = append(v.failures, fmt.Sprintf(f, args...))
}
func (v *verdict) Failed() bool { return len(v.failures) > 0 }

// goodKey makes a key of the contract's form; made at run time, because such
// texts look like a well-known vendor's to secret scanners.
func goodKey(mode string) string {
	body := "sk_" + mode + "_" + strings.Repeat("a1Z", 4) + strings.Repeat("b2Yc", 8)
	return body + checksum(body)
}

// playText plays one script against the teller and returns its failures.
func playText(t *testing.T, text string) []string {
	t.Helper()
	v := &verdict{TB: t}
	target := Target{URL: "http://teller.test", Transport: Handler(teller()), Keys: map[string]string{Main: goodKey("test")}}
	s := source{"case", txtar.Parse([]byte(text))}
	newPlayer(v, target, s, new(sync.Map)).play()
	return v.failures
}

func TestCommandsPass(t *testing.T) {
	cases := map[string]string{
		"status is one of several": "request GET /status/404\nstatus 400 404",
		"header is there":          "request GET /echo\nheader ETag\nheader etag ^\"v1\"$\n! header Location",
		"header does not match":    "request GET /echo\n! header ETag v2",
		"json compares numbers by value": "request POST /answer {\"a\":1e2,\"b\":-0}\n" +
			"json .a 100\njson .b 0\njson . {\"b\":0.0,\"a\":100.00}",
		"json takes a file with variables": "let v \"x\"\nrequest POST /answer [\"x\"]\njson . want.json\njson .[0] \"$v\"\n-- want.json --\n[\n \"$v\"\n]\n",
		"match sees the number's text":     "request POST /answer {\"a\":-0,\"s\":\"x\"}\nmatch .a ^-0$\nmatch .s ^x$\n! match .s ^y$",
		"members in order":                 "request POST /answer {\"b\":1,\"a\":{}}\nmembers . b a\nmembers . names.txt\n-- names.txt --\nb\na\n",
		"length of an array":               "request POST /answer {\"a\":[1,2]}\nlength .a 2",
		"error with no parameter":          "request GET /status/404\nerror 404 resource_missing\nerror 404 resource_missing ?",
		"error with violations in any order": "request GET /status/400\n" +
			"error 400 parameter_unknown a parameter_invalid b\nerror 400 parameter_invalid|json_invalid ?",
		"empty body":                         "request GET /status/204\nempty",
		"same answer but for its request id": "request GET /status/404\nremember a\nrequest GET /status/404\nsame a",
		"capture a string, a value, a header": "request POST /answer {\"a\":\"x\",\"b\":{\"c\":1}}\ncapture a .a\ncapture b .b\nequal $a x\njson .b $b\n" +
			"request GET /echo\ncapture e header ETag\nequal $e '\"v1\"'",
		"let repeats":                        "let a \"é\"*3 `\"` \"\\u0000\"\nrequest POST /echo $a\njson .body '\"ééé\\\"\\u0000\"'",
		"add":                                "add n 40 2\nequal $n 42",
		"equal, before":                      "equal a a\n! equal a b\nbefore a b\n! before b a\n! before a a",
		"unique":                             "! equal $unique ''",
		"request without a body has no type": "request POST /echo\njson .type []\njson .length 0\njson .uri \"/echo\"",
		"request with an empty body has one": "request POST /echo ''\njson .type [\"application/json\"]\njson .length 0",
		"chunked":                            "with Transfer-Encoding chunked\nrequest POST /echo {}\njson .length -1\njson .body \"{}\"",
		"with lasts for one request":         "with X a\nwith X b\nrequest GET /echo?q=1\njson .x [\"a\",\"b\"]\njson .uri \"/echo?q=1\"\nrequest GET /echo\njson .x []",
		"with replaces the type":             "with Content-Type text/plain\nrequest POST /echo {}\njson .type [\"text/plain\"]",
		"without":                            "without Content-Type\nrequest POST /echo {}\njson .type []\nrequest POST /echo {}\njson .type [\"application/json\"]",
		"key none":                           "request GET /echo\njson .authorization true\nkey none\nrequest GET /echo\njson .authorization false\nkey main\nrequest GET /echo\njson .authorization true",
		"key in a header":                    "with Authorization 'Basic {key}'\nrequest GET /echo\njson .basic true",
		"repeat":                             "repeat 3 GET /echo\njson .method \"GET\"",
		"background":                         "request GET /echo &\nrequest GET /echo &\nwait\nstatus 200",
		"head has no body":                   "request HEAD /status/404\nstatus 404\nempty",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if failures := playText(t, text); len(failures) > 0 {
				t.Errorf("it failed: %s", failures)
			}
		})
	}
}

func TestCommandsFail(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"wrong status", "request GET /status/404\nstatus 200 201", "the status is 404"},
		{"no such header", "request GET /echo\nheader Location", "there is no header Location"},
		{"header differs", "request GET /echo\nheader ETag v2", "does not match"},
		{"unwanted header", "request GET /echo\n! header ETag", "unexpected success"},
		{"other number", "request POST /answer {\"a\":1.0000000000000000000000000000000000001}\njson .a 1", "want 1"},
		{"other string", "request POST /answer {\"a\":\"e\\u0301\"}\njson .a \"é\"", "want"},
		{"string for number", "request POST /answer {\"a\":\"1\"}\njson .a 1", "want 1"},
		{"more members", "request POST /answer {\"a\":1,\"b\":2}\njson . {\"a\":1}", "want no such member"},
		{"fewer members", "request POST /answer {\"a\":1}\njson . {\"a\":1,\"b\":null}", "there is no .b"},
		{"other element", "request POST /answer [1,2]\njson . [1,3]", ".[1] is 2, want 3"},
		{"more elements", "request POST /answer [1,2]\njson . [1]", "has 2 elements"},
		{"no such path", "request POST /answer {\"a\":1}\njson .b null", "there is no .b"},
		{"null is no object", "request POST /answer null\njson .b null", "has no members"},
		{"no match", "request POST /answer {\"a\":1}\nmatch .a 2", "does not match"},
		{"other order of members", "request POST /answer {\"b\":1,\"a\":1}\nmembers . a b", `the members are ["b" "a"]`},
		{"other length", "request POST /answer [1]\nlength . 2", "there are 1 elements"},
		{"other error status", "request GET /status/404\nerror 400 json_invalid", "the status is 404"},
		{"other error code", "request GET /status/404\nerror 404 route_unknown", "the code is"},
		{"parameter where none is expected", "request GET /status/400\nerror 400 parameter_invalid", `param is "b"`},
		{"one violation of two", "request GET /status/400\nerror 400 parameter_invalid b", "unexpected violations"},
		{"violation missing", "request GET /status/400\nerror 400 parameter_invalid b parameter_too_long a", "there is no violation parameter_too_long a"},
		{"no error at all", "request GET /echo\nerror 200 json_invalid", "one member `error`"},
		{"body where none is expected", "request GET /echo\nempty", "bytes of body"},
		{"other answer", "request GET /status/404\nremember a\nrequest GET /status/403\nsame a", "the status is 403"},
		{"other headers", "request POST /answer {}\nremember a\nwith X 1\nrequest GET /echo\nsame a", "Etag"},
		{"other body", "request POST /answer {}\nremember a\nrequest POST /answer []\nsame a", "that of the other answer"},
		{"values differ", "equal a b", `"a" is not "b"`},
		{"values not in order", "before a a", "does not sort before"},
		{"header to capture", "request GET /echo\ncapture a header Location", "there is no header Location"},
		{"nothing repeated is no request", "repeat 0 GET /echo\nstatus 200", "no request was sent before"},

		// A mistake is not made good by `!`.
		{"excused: no request yet", "! header ETag", "no request was sent before"},
		{"excused: too few words", "request GET /echo\n! header", "takes NAME"},
		{"excused: bad expression", "request GET /echo\n! header ETag (", "missing closing"},
		{"excused: bad path", "request GET /echo\n! match a b", "a path looks like"},
		{"excused: missing file", "! request POST /echo a.json", "there is no file a.json"},
		{"excused: variable without a value in a file", "! request POST /echo a.json\n-- a.json --\n$nothing\n", "uses $nothing"},
		{"excused: unknown key", "! key nobody", "no key named"},
		{"excused: key that the target has not", "! key expired", "has no key named expired"},
		{"excused: broken rule", "! request GET /fault/cached", "Cache-Control"},
		{"excused: no JSON", "request GET /echo\n! json . {", "is not JSON"},
		{"excused: no number", "request GET /echo\n! status ok", "not a whole number"},
		{"excused: unremembered answer", "request GET /echo\n! same a", "no answer was remembered"},
		{"excused: violation without parameter", "request GET /status/400\n! error 400 parameter_invalid a parameter_invalid", "each CODE"},
		{"excused: unquoted text", "! let a b", "Go's quotes"},
		{"excused: capture of something else", "request GET /echo\n! capture a b c", "capture takes"},
		{"excused: no sum", "! add a b c", "whole numbers"},
		{"unknown command", "exec ls", "unknown command"},
		{"unknown condition", "[moon] request GET /echo", "unknown condition"},

		{"no request id", "request GET /fault/no-request-id", "one Request-Id"},
		{"two request ids", "request GET /fault/two-request-ids", "one Request-Id"},
		{"one request id twice", "repeat 2 GET /fault/old-request-id", "was given to another request"},
		{"may be cached", "request GET /fault/cached", "Cache-Control"},
		{"may be sniffed", "request GET /fault/sniffed", "X-Content-Type-Options"},
		{"text", "request GET /fault/plain", "application/json"},
		{"broken JSON", "request GET /fault/no-json", "not valid JSON"},
		{"name twice", "request GET /fault/twice", "not valid JSON"},
		{"405 without Allow", "request GET /fault/no-allow", "has Allow"},
		{"error without a body", "request GET /fault/no-body", "one member `error`"},
		{"five members", "request GET /fault/five-members", "an error has the members"},
		{"type of another status", "request GET /fault/wrong-type", "the type of status 404"},
		{"code of another status", "request GET /fault/wrong-code", "status 404 has the codes"},
		{"another request id", "request GET /fault/wrong-id", "request_id is"},
		{"empty message", "request GET /fault/no-message", "says what to do"},
		{"errors is null", "request GET /fault/errors-null", "errors is a list"},
		{"first violation not repeated", "request GET /fault/first-not-repeated", "do not repeat the first"},
		{"param without errors", "request GET /fault/param-without-errors", "errors is empty"},
		{"key comes back", "request GET /fault/key", "holds the API key"},
		{"broken rule in the background", "request GET /fault/cached &\nwait", "Cache-Control"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			failures := strings.Join(playText(t, c.text), "\n")
			if !strings.Contains(failures, c.want) {
				t.Errorf("the failure is %q, want one with %q", failures, c.want)
			}
			if strings.Contains(failures, goodKey("test")) {
				t.Error("the failure shows the key")
			}
		})
	}
}

func TestRepeatFailsWhenStatusChanges(t *testing.T) {
	n, teller := 0, teller()
	flaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		r.URL.Path = "/status/" + []string{"200", "204"}[n/3]
		teller.ServeHTTP(w, r)
	})
	v := &verdict{TB: t}
	target := Target{URL: "http://teller.test", Transport: Handler(flaky), Keys: map[string]string{Main: goodKey("test")}}
	newPlayer(v, target, source{"case", txtar.Parse([]byte("repeat 3 GET /"))}, new(sync.Map)).play()
	if got := strings.Join(v.failures, "\n"); !strings.Contains(got, "request 3 has status 204, those before it 200") {
		t.Errorf("the failures are %q", got)
	}
}

func TestConditionFollowsTarget(t *testing.T) {
	for _, c := range []struct {
		untruths []Untruth
		want     string
	}{
		{nil, "a"},
		{[]Untruth{leadingSlashesMerged}, "b"},
		{[]Untruth{invalidUTF8Refused}, ""},
	} {
		var sent []string
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent = append(sent, r.URL.Path[1:])
			r.URL.Path = "/status/204"
			teller().ServeHTTP(w, r)
		})
		target := Target{URL: "http://teller.test", Transport: Handler(h), Keys: map[string]string{Main: goodKey("test")}, Untruths: c.untruths}
		text := "[invalid-utf8-lost] stop\n[!leading-slashes-merged] request GET /a\n[leading-slashes-merged] request GET /b\n"
		newPlayer(t, target, source{"case", txtar.Parse([]byte(text))}, new(sync.Map)).play()
		if got := strings.Join(sent, ""); got != c.want {
			t.Errorf("with %v the lines sent are %q, want %q", c.untruths, got, c.want)
		}
	}
}

func TestMadeLeadsAreDeletedWithTheKeyThatMadeThem(t *testing.T) {
	var deleted []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Request-Id", unique())
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
	target := Target{URL: "http://teller.test", Transport: Handler(h), Keys: map[string]string{Main: goodKey("test"), OtherMode: goodKey("live")}}
	v := &verdict{TB: t}
	text := "key other-mode\nrequest POST /api/crm/lead\nkey main\nstatus 200"
	newPlayer(v, target, source{"case", txtar.Parse([]byte(text))}, new(sync.Map)).play()
	if want := []string{"/api/crm/lead/lead_1 Bearer " + goodKey("live")}; !slices.Equal(deleted, want) {
		t.Error("the lead of a script that failed was not deleted with its own key")
	}
	if !v.Failed() {
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
		"no example id":         "curl https://api.overplane.dev/api/crm/lead",
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

func TestSpoiltKeysDifferFromTheGoodOneInOneThing(t *testing.T) {
	good := goodKey("test")
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
			got, err := spoil(good, c.how)
			if err != nil {
				t.Fatal(err)
			}
			id, secret, body := got[8:20] == good[8:20], got[20:52] == good[20:52], got[:52]
			if id != c.sameID || secret != c.sameSecret || (checksum(body) == got[52:]) != c.sumFit || got[3:7] != c.mode || len(got) != len(good) {
				t.Errorf("same id %t, same secret %t, checksum fits %t, mode %s", id, secret, checksum(body) == got[52:], got[3:7])
			}
		})
	}
	if got, err := spoil(good, "truncated"); err != nil || got != good[:57] {
		t.Error("truncated is not the key without its last character")
	}
	if _, err := spoil("short", "unknown"); err == nil {
		t.Error("a key of another form was spoilt")
	}
}

// The text and its CRC32 are the well-known check value of that sum:
// 0xCBF43926 = 3421780262 = 3*62^5 + 45*62^4 + 35*62^3 + 27*62^2 + 22*62 + 14.
func TestChecksumIsBase62MostSignificantDigitFirst(t *testing.T) {
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("the checksum is %s, want 3jZRME", got)
	}
}
