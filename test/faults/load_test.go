package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/test/dynamotest"
)

// TestOverload asks leads serve five times what it can do. It may say that it is
// too much, but nothing else, and must be its old self soon after.
func TestOverload(t *testing.T) {
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, *client.Options().BaseEndpoint)
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048, MaxConnsPerHost: 4096}}
	process := server.handler(t, caller)
	var answered sync.Map // counts by status
	ask := func(n int64) answer {
		r := request{method: "GET", path: "/lead_1"}
		switch n % 4 {
		case 0:
			r = request{method: "POST", body: `{"lead_name":"load"}`}
		case 1:
			r.method, r.body = "PATCH", fmt.Sprintf(`{"city":"%d"}`, n)
		case 2:
			r.path = "?limit=5"
		}
		a := w.callOn(t.Context(), process, r)
		if a.status >= 300 && !busy(a) {
			t.Errorf("%s is answered %v", r.method, a)
		}
		count, _ := answered.LoadOrStore(a.status, new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
		return a
	}

	// What it can do: as fast as a few callers get answers.
	var n atomic.Int64
	var wg sync.WaitGroup
	const measured = time.Second
	end := time.Now().Add(measured)
	for range 16 {
		wg.Go(func() {
			for time.Now().Before(end) {
				ask(n.Add(1))
			}
		})
	}
	wg.Wait()
	can := float64(n.Load()) / measured.Seconds()

	// Five times as much, whether answered or not.
	const tick = 5 * time.Millisecond
	each := int(5*can*tick.Seconds()) + 1
	for range time.Duration(min(*effort, 10)) * 2 * time.Second / tick {
		for range each {
			wg.Go(func() { ask(n.Add(1)) })
		}
		time.Sleep(tick)
	}
	wg.Wait()
	quiet := time.Now()
	for ask(n.Add(1)).status >= 300 {
		if time.Since(quiet) > 10*time.Second {
			t.Fatal("not back to normal within 10 seconds")
		}
	}
	answered.Range(func(status, count any) bool {
		t.Logf("%d: %d times", status, count.(*atomic.Int64).Load())
		return true
	})
	caller.CloseIdleConnections()
	t.Logf("it can answer %.0f a second and was asked %d", can, each*int(time.Second/tick))
	server.mustBeClean(t)
}

// atWork is how many requests a process works on at once, as docs/reliability.md
// says, and atTheDoor how many bodies it reads at once.
const (
	atWork    = 32
	atTheDoor = 1024
)

// TestSlowClientsHoldNobodyUp has clients that send no more than the beginning of
// their bodies, more of them than the process works on at once.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, *client.Options().BaseEndpoint)
	process := server.handler(t, &http.Client{Transport: &http.Transport{}})
	create := request{method: "POST", body: `{"lead_name":"quick"}`}
	mustAnswer := func(r request, who string) {
		t.Helper()
		// A busy machine may need more than one attempt, of ten seconds each.
		for end := time.Now().Add(25 * time.Second); ; {
			a := w.callOn(t.Context(), process, r)
			if a.status < 300 {
				return
			}
			if !busy(a) || time.Now().After(end) {
				t.Fatalf("beside %s a %s is answered %v", who, r.method, a)
			}
		}
	}
	dial := func() (*net.TCPConn, *bufio.Reader) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn.(*net.TCPConn), bufio.NewReader(conn)
	}
	// A server that asks for the body is waiting for it.
	stall := func() *bufio.Reader {
		conn, answers := dial()
		fmt.Fprintf(conn, "POST /api/crm/lead HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", w.key)
		if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("a server that wants a body says %q, %v", line, err)
		}
		answers.ReadString('\n')
		io.WriteString(conn, "{")
		return answers
	}
	var slow []*bufio.Reader
	for range 2 * atWork {
		slow = append(slow, stall())
	}
	mustAnswer(create, "slow bodies")
	for len(slow) < atTheDoor {
		slow = append(slow, stall())
	}
	mustAnswer(request{method: "GET"}, "as many slow bodies as there may be")
	if a := w.callOn(t.Context(), process, create); a.status != 201 && !busy(a) {
		t.Errorf("beside as many slow bodies as there may be, a create is answered %v", a)
	}
	for _, answers := range slow {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("a body that does not come is answered %v, %v, want 503 with Retry-After", resp, err)
		}
	}
	mustAnswer(create, "bodies that were too slow")
}

// TestFunctionsOverload has many functions, each with one event at a time as in
// Lambda, ask more of the database than it can do: of an engine that is busy,
// and of one that throttles four requests of five.
func TestFunctionsOverload(t *testing.T) {
	client := startPatient(t)
	var asked atomic.Int64
	for name, c := range map[string]struct {
		functions int
		wire      wire
	}{
		"busy": {5 * atWork, (*exchange).send},
		"throttling": {16, func(x *exchange) (*http.Response, error) {
			if asked.Add(1)%5 > 0 {
				return says(400, "ThrottlingException")(x)
			}
			return x.send()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := newWorld(t.Context(), client, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			const path = "/api/crm/lead"
			var wg sync.WaitGroup
			var refused, made atomic.Int64
			for i := range c.functions {
				function := lambdahttp.New(w.process())
				ask := func(ctx context.Context, limit time.Duration, e []byte) answer {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					return w.invoked(t, ctx, function, e)
				}
				wg.Go(func() {
					for n := range 4 {
						a := ask(over(t.Context(), c.wire), apiMargin+200*time.Millisecond, event("POST", path, w.key, fmt.Sprintf(`{"lead_name":"%d.%d"}`, i, n)))
						switch {
						case busy(a):
							refused.Add(1)
						case a.status == 201:
							made.Add(1)
						default:
							t.Error(a)
						}
					}
					if a := ask(t.Context(), time.Minute, event("GET", path+"/"+w.ids("lead_1"), w.key, "")); a.status != 200 {
						t.Errorf("right after it: %v", a)
					}
				})
			}
			wg.Wait()
			t.Logf("%d made, %d told to come again", made.Load(), refused.Load())
		})
	}
}

// TestAnswerLeavesBeforeTheDeadline has the database hang, from each request of
// each operation on, while Lambda gives the function another second and a half.
// Its clock is one that moves only while all wait.
func TestAnswerLeavesBeforeTheDeadline(t *testing.T) {
	client := startPatient(t)
	for _, o := range operations() {
		t.Run(o.name, func(t *testing.T) {
			w, err := newWorld(t.Context(), client, 2, o.between+time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, earlier := range o.before {
				earlier.do(t.Context(), w)
			}
			w.reborn()
			var said []wire
			o.act.do(over(t.Context(), func(x *exchange) (*http.Response, error) {
				if of("SendMessageBatch", "PutEvents")(x) {
					said = append(said, (*exchange).send) // no network is needed for it
					return x.send()
				}
				resp, err := x.send()
				if err != nil {
					return nil, err
				}
				again, err := repeats(resp)
				if err != nil {
					return nil, err
				}
				said = append(said, again)
				return again(x)
			}), w)
			for n := range said {
				for _, left := range []time.Duration{1500 * time.Millisecond, o.act.margin() + 200*time.Millisecond} {
					synctest.Test(t, func(t *testing.T) {
						w.queue, w.dead, w.bus = &queue{patience: time.Minute}, &queue{fifo: true, patience: time.Minute}, &bus{patience: time.Minute}
						w.reborn()
						ctx, cancel := context.WithTimeout(over(t.Context(), numbered(func(i int, x *exchange) (*http.Response, error) {
							if i < n {
								return said[i](x)
							}
							return hangs(x)
						})), left)
						defer cancel()
						a := o.act.do(ctx, w)
						if ctx.Err() != nil {
							t.Errorf("it left too late, where request %d hangs", n+1)
						}
						if !o.act.later(a) {
							t.Errorf("where request %d hangs: %v", n+1, a)
						}
					})
				}
			}
		})
	}
}

// repeats returns a wire that says the same as this answer.
func repeats(resp *http.Response) (wire, error) {
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	return func(x *exchange) (*http.Response, error) {
		again := *resp
		again.Body, again.Request = io.NopCloser(bytes.NewReader(body)), x.request
		return &again, nil
	}, nil
}

// TestNothingLeaks works under faults for a while and counts what is left.
func TestNothingLeaks(t *testing.T) {
	client := start(t)
	connections := client.Options().HTTPClient.(*http.Client).Transport.(*dynamotest.Meter)
	settle := func(most int, patience time.Duration) int {
		// On a busy machine the last of what was given up takes a while to end.
		for end := time.Now().Add(patience); time.Now().Before(end); {
			connections.CloseIdleConnections()
			if runtime.NumGoroutine() <= most {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return runtime.NumGoroutine()
	}
	soak(t, client, 1)
	before := settle(0, 2*time.Second)
	soak(t, client, 3*uint64(*effort))
	if after := settle(before, 30*time.Second); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}

func soak(t *testing.T, client *dynamodb.Client, times uint64) {
	for i := range times {
		if _, err := live(t.Context(), client, *seed+100+i, nil); err != nil {
			t.Fatal(err)
		}
	}
}
