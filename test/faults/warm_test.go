package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/test/dynamotest"
)

// event is one of API Gateway, payload format 2.0.
func event(method, path, key, body string) []byte {
	return text(object{
		"version": "2.0", "rawPath": path, "body": body,
		"headers":        object{"authorization": "Bearer " + key, "content-type": "application/json"},
		"requestContext": object{"stage": "$default", "http": object{"method": method}},
	})
}

// invoked returns the answer of a function to an event.
func (w *world) invoked(t *testing.T, ctx context.Context, function lambda.Handler, event []byte) answer {
	t.Helper()
	out, err := function.Invoke(ctx, event)
	var said struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err = errors.Join(err, json.Unmarshal(out, &said)); err != nil {
		t.Error(err)
	}
	header := http.Header{}
	for name, value := range said.Headers {
		header.Set(name, value)
	}
	return w.answer(said.StatusCode, header, said.Body)
}

// TestWarmFunctionForgets has one function serve an account, with an event that
// ends badly, and right after it another account.
func TestWarmFunctionForgets(t *testing.T) {
	client := start(t)
	for name, bad := range map[string]wire{
		"after a panic":               func(*exchange) (*http.Response, error) { panic("kaboom") },
		"after the answer panics":     after(func(*exchange) (*http.Response, error) { panic("kaboom") }),
		"after the time is up":        hangs,
		"after a lost connection":     fails(io.EOF),
		"after a lost answer":         after(fails(io.ErrUnexpectedEOF)),
		"after the account is denied": says(400, "AccessDeniedException"),
	} {
		for at := range 2 { // the reading of the key, the write
			t.Run(fmt.Sprintf("%s, request %d", name, at+1), func(t *testing.T) {
				one, err := newWorld(t.Context(), client, 1, 0)
				if err != nil {
					t.Fatal(err)
				}
				two, err := newWorld(t.Context(), client, 1, 0)
				if err != nil {
					t.Fatal(err)
				}
				table := one.table()
				function := lambdahttp.New(api.New(api.Config{Leads: table, Keys: table, Now: one.clock}).Handler(api.Routes()...))
				invoke := func(ctx context.Context, e []byte) (status int, body string) {
					t.Helper()
					ctx, cancel := context.WithTimeout(ctx, apiMargin+150*time.Millisecond)
					defer cancel()
					a := one.invoked(t, ctx, function, e)
					return a.status, a.body
				}
				const path = "/api/crm/lead"
				broken := over(t.Context(), blackoutOf(at, bad))
				if status, body := invoke(broken, event("POST", path, one.key, `{"lead_name":"of one"}`)); status < 500 {
					t.Errorf("the bad event was answered %d %s", status, body)
				}
				if status, body := invoke(t.Context(), event("POST", path, two.key, `{"lead_name":"of two"}`)); status != 201 || strings.Contains(body, "of one") {
					t.Errorf("the next event: %d %s", status, body)
				}
				if status, body := invoke(t.Context(), event("GET", path, two.key, "")); status != 200 || number(totalPattern, body) != 2 || strings.Contains(body, "of one") {
					t.Errorf("the list of the other account: %d %s", status, body)
				}
				if status, body := invoke(t.Context(), event("GET", path+"/"+one.ids("lead_1"), two.key, "")); status != 404 {
					t.Errorf("a lead of the first account for the other: %d %s", status, body)
				}
				if status, body := invoke(t.Context(), event("GET", path, one.key, "")); status != 200 || number(totalPattern, body) < 1 {
					t.Errorf("the list of the first account: %d %s", status, body)
				}
			})
		}
	}
}

// blackoutOf sends every exchange from the nth on over this wire.
func blackoutOf(n int, w wire) wire {
	return numbered(func(i int, x *exchange) (*http.Response, error) {
		if i < n {
			return x.send()
		}
		return w(x)
	})
}

// TestRevokedKeyEndsWithin30Seconds moves the clock.
func TestRevokedKeyEndsWithin30Seconds(t *testing.T) {
	client := start(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	get := request{method: "GET", path: "/lead_1"}
	id, _, _ := apikey.Parse(w.key)
	processes := []http.Handler{w.process(), w.process(), w.process()}
	for i, process := range processes { // which read the key at different times
		w.pass(time.Duration(i) * 7 * time.Second)
		if a := w.callOn(t.Context(), process, get); a.status != 200 {
			t.Fatal(a)
		}
	}
	if err := w.table().RevokeKey(t.Context(), id, w.clock()); err != nil {
		t.Fatal(err)
	}
	w.pass(30 * time.Second)
	for i, process := range processes {
		if a := w.callOn(t.Context(), process, get); a.status != 401 {
			t.Errorf("process %d, 30 seconds later: %v", i+1, a)
		}
	}
}

// TestWrongKeysCostTheSame holds what is done for a key that nobody has to what
// is done for one whose secret is wrong, and to one that was revoked.
func TestWrongKeysCostTheSame(t *testing.T) {
	client := start(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	table := w.table()
	mint := func() (string, apikey.Key) {
		return apikey.NewKey(w.tenant, apikey.Read, w.clock(), time.Time{})
	}
	unknown, _ := mint()
	wrong, stored := mint()
	stored.Hash[0]++ // the text is of another key with the same id
	revoked, ended := mint()
	ended.RevokedAt = w.clock()
	for _, k := range []apikey.Key{stored, ended} {
		if err := table.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[string][]string{}
	for name, key := range map[string]string{"unknown": unknown, "wrong": wrong, "revoked": revoked} {
		w.key = key
		var asked string
		ctx := over(t.Context(), func(x *exchange) (*http.Response, error) {
			asked += x.operation + " "
			return x.send()
		})
		a := w.callOn(ctx, w.process(), request{method: "GET", path: "/lead_1"})
		if a.status != 401 || asked != "GetItem " {
			t.Errorf("%s: asked %s, answered %v", name, asked, a)
		}
		what := a.String() + asked
		answers[what] = append(answers[what], name)
	}
	if len(answers) != 1 {
		t.Errorf("they can be told apart: %v", answers)
	}
}

// safeLog is a log that many may write to.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// inside are words that only we use.
var inside = regexp.MustCompile(`(?i)dynamodb|amazonaws|smithy|aws-sdk|\*[a-z]+\.[A-Z]|interface ?\{|` +
	internalTable + `|` + internalRequest + `|` + regexp.QuoteMeta(dynamotest.TableName) + `/|127\.0\.0\.1|goroutine`)

// TestNothingSecretIsSaid makes requests of all kinds, right and wrong, under
// every fault, and reads all that was logged and all errors that were answered.
func TestNothingSecretIsSaid(t *testing.T) {
	client := start(t)
	w, err := newWorld(t.Context(), client, 2, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	log := &safeLog{}
	w.log = log
	w.reborn()
	chance := rand.New(rand.NewPCG(*seed, 9))
	var secrets []string
	word := func() string {
		s := fmt.Sprintf("secret%016x", chance.Uint64())
		secrets = append(secrets, s)
		return s
	}
	secrets = append(secrets, w.key, w.key[20:52])
	own := w.key
	for range 150 * *effort {
		w.key = own
		bodies := []string{
			`{"lead_name":"` + word() + `","email_id":"` + word() + `"}`, // the address is none
			`{"lead_name":"` + word() + `","annual_revenue":"` + word() + `"}`,
			`{"lead_name":"` + word() + strings.Repeat("x", 200) + `"}`,
			`{"city":"` + word() + `"`, `"` + word() + `"`, `{"city":"` + word() + `","city":"` + word() + `"}`,
			`{"city":"` + word() + `"}`,
		}
		r := request{body: bodies[chance.IntN(len(bodies))], header: map[string]string{}}
		switch chance.IntN(5) {
		case 0:
			r.method, r.header["Idempotency-Key"] = "POST", word()
		case 1:
			r.method, r.path = "PATCH", "/lead_1"
		case 2:
			r.method, r.path, r.header["If-Match"] = "DELETE", "/lead_2", `"`+word()+`"`
		case 3:
			r.method, r.path, r.body = "GET", "/lead_1", ""
		case 4:
			r.method, r.body = "GET", ""
		}
		if chance.IntN(8) == 0 {
			w.key = own[:len(own)-1] + word()
		}
		ctx, cancel := context.WithTimeout(over(t.Context(), unreliable(chance)), apiMargin+40*time.Millisecond)
		if chance.IntN(4) == 0 {
			possible := faults(&exchange{operation: "UpdateItem"})
			ctx = over(ctx, blackoutOf(chance.IntN(3), possible[chance.IntN(len(possible))].wire))
		} else if chance.IntN(6) == 0 {
			ctx = over(ctx, blackoutOf(chance.IntN(3), says(400, "ResourceNotFoundException")))
		}
		a := w.call(ctx, r)
		cancel()
		if chance.IntN(4) == 0 {
			event := sqsRecord(fmt.Sprint(chance.Uint64()), bodies[chance.IntN(len(bodies))], "in", map[string]string{"idempotency_key": word()}, "")
			if chance.IntN(2) == 0 {
				event = sqsRecord("id", bodies[chance.IntN(len(bodies))], "in.fifo", nil, word())
			}
			ctx, cancel := context.WithTimeout(over(t.Context(), unreliable(chance)), delivery{}.margin()+40*time.Millisecond)
			delivery{event: `{"Records":[` + event + `]}`}.do(ctx, w)
			cancel()
		}
		if a.status >= 400 {
			for _, s := range secrets {
				if strings.Contains(a.body, s) {
					t.Fatalf("%s %s is answered with a secret: %s", r.method, r.path, a.body)
				}
			}
			if found := inside.FindString(a.body); found != "" {
				t.Fatalf("an answer says %q: %s", found, a.body)
			}
		}
	}
	w.key = own
	for line := range strings.Lines(log.text.String()) {
		for _, s := range secrets {
			if strings.Contains(line, s) {
				t.Fatalf("the log has a secret: %s", line)
			}
		}
		if found := inside.FindString(line); found != "" {
			t.Fatalf("the log says %q: %s", found, line)
		}
	}
	for _, status := range []string{`"status":500`, `"status":503`, `"status":400`, `"status":401`} {
		if !strings.Contains(log.text.String(), status) {
			t.Errorf("nothing was logged with %s: this proves too little", status)
		}
	}
}
