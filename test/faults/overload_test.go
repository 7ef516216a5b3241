package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/test/dynamotest"
)

// TestServeUnderOverload sends "leads serve" five times the requests that it can
// answer. It may refuse requests, but not fail, and must recover afterwards. The
// test is not parallel, because it measures.
func TestServeUnderOverload(t *testing.T) {
	client := startDatabase(t)
	f := newFixture(t, client, 1, 0)
	server := startServe(t, *client.Options().BaseEndpoint)
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048, MaxConnsPerHost: 4096}}
	process := server.handler(t, caller)
	var mu sync.Mutex
	statuses := map[int]int{}
	var sent atomic.Int64
	send := func() (status int) {
		n := sent.Add(1)
		r := request{method: "GET", path: "/lead_1"}
		switch n % 4 {
		case 0:
			r = request{method: "POST", body: `{"lead_name":"load"}`}
		case 1:
			r.method, r.body = "PATCH", fmt.Sprintf(`{"city":"%d"}`, n)
		case 2:
			r.path = "?limit=5"
		}
		got := f.sendTo(t.Context(), process, r)
		if got.status >= 300 && !isRetryLater(got) {
			t.Errorf("%s got %v", r.method, got)
		}
		mu.Lock()
		defer mu.Unlock()
		statuses[got.status]++
		return got.status
	}

	// First measure how many requests 16 clients get answered in a second.
	var wg sync.WaitGroup
	end := time.Now().Add(time.Second)
	for range 16 {
		wg.Go(func() {
			for time.Now().Before(end) {
				send()
			}
		})
	}
	wg.Wait()
	perSecond := float64(sent.Load())

	// Then send five times as many, without waiting for responses.
	const tick = 5 * time.Millisecond
	perTick := int(5*perSecond*tick.Seconds()) + 1
	for range time.Duration(min(*effort, 10)) * 2 * time.Second / tick {
		for range perTick {
			wg.Go(func() { send() })
		}
		time.Sleep(tick)
	}
	wg.Wait()
	start := time.Now()
	for send() >= 300 {
		if time.Since(start) > 10*time.Second {
			t.Fatal("it has not recovered after 10 seconds")
		}
	}
	caller.CloseIdleConnections()
	t.Logf("capacity %.0f requests per second, sent %d; responses by status: %v", perSecond, perTick*int(time.Second/tick), statuses)
	server.checkResources(t)
}

// The limits of a process, see docs/reliability.md.
const (
	maxWorkers = 32   // requests that it works on
	maxBodies  = 1024 // bodies that it reads
)

// TestSlowBodiesDoNotBlockOtherClients has clients send no more than the start
// of their bodies. They are more than the process has workers.
func TestSlowBodiesDoNotBlockOtherClients(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	f := newFixture(t, client, 0, 0)
	server := startServe(t, *client.Options().BaseEndpoint)
	process := server.handler(t, &http.Client{Transport: &http.Transport{}})
	create := request{method: "POST", body: `{"lead_name":"quick"}`}
	mustSucceed := func(r request, situation string) {
		t.Helper()
		// On a busy machine one retry may not be enough; each takes ten seconds.
		for end := time.Now().Add(25 * time.Second); ; {
			got := f.sendTo(t.Context(), process, r)
			if got.status < 300 {
				return
			}
			if !isRetryLater(got) || time.Now().After(end) {
				t.Fatalf("%s: a %s got %v", situation, r.method, got)
			}
		}
	}
	// sendSlowly returns once the server waits for the rest of a body.
	sendSlowly := func() *bufio.Reader {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		responses := bufio.NewReader(conn)
		fmt.Fprintf(conn, "POST /api/crm/lead HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", f.key)
		if line, err := responses.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("instead of 100 Continue: %q, %v", line, err)
		}
		responses.ReadString('\n')
		io.WriteString(conn, "{")
		return responses
	}
	var slow []*bufio.Reader
	for range 2 * maxWorkers {
		slow = append(slow, sendSlowly())
	}
	mustSucceed(create, "with slow bodies")
	for len(slow) < maxBodies+maxBodies/2 {
		slow = append(slow, sendSlowly())
	}
	mustSucceed(request{method: "GET"}, "with the most slow bodies")
	if got := f.sendTo(t.Context(), process, create); got.status != 201 {
		t.Errorf("with the most slow bodies: a create got %v", got)
	}
	for _, responses := range slow {
		resp, err := http.ReadResponse(responses, nil)
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("a body that does not arrive got %v, %v, want 503 with Retry-After", resp, err)
		}
	}
	mustSucceed(create, "after slow bodies")
}

// TestFunctionsUnderOverload has many functions, each with one request at a time
// as on Lambda, use a database that is busy, or throttles four of five calls.
func TestFunctionsUnderOverload(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	var calls atomic.Int64
	for name, c := range map[string]struct {
		functions int
		inject    injector
	}{
		"busy": {5 * maxWorkers, (*call).send},
		"throttling": {16, func(c *call) (*http.Response, error) {
			if calls.Add(1)%5 > 0 {
				return databaseError(400, "ThrottlingException")(c)
			}
			return c.send()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, client, 1, 0)
			const path = "/api/crm/lead"
			var wg sync.WaitGroup
			var refused, created atomic.Int64
			for i := range c.functions {
				function := lambdahttp.New(f.newAPI())
				invoke := func(ctx context.Context, limit time.Duration, event []byte) response {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					return f.invokeHTTP(t, ctx, function, event)
				}
				wg.Go(func() {
					for n := range 4 {
						got := invoke(withInjector(t.Context(), c.inject), apiMargin+200*time.Millisecond, httpEvent("POST", path, f.key, fmt.Sprintf(`{"lead_name":"%d.%d"}`, i, n)))
						switch {
						case isRetryLater(got):
							refused.Add(1)
						case got.status == 201:
							created.Add(1)
						default:
							t.Error(got)
						}
					}
					if got := invoke(t.Context(), time.Minute, httpEvent("GET", path+"/"+f.namesToIDs("lead_1"), f.key, "")); got.status != 200 {
						t.Errorf("right afterwards: %v", got)
					}
				})
			}
			wg.Wait()
			t.Logf("%d created, %d told to retry", created.Load(), refused.Load())
		})
	}
}

// TestResponseBeforeLambdaDeadline has the database hang from each call of each
// operation on, shortly before the deadline of Lambda. It uses the clock of
// synctest, so nothing but the product's own time limits passes.
func TestResponseBeforeLambdaDeadline(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	for _, o := range operations() {
		t.Run(o.name, func(t *testing.T) {
			f, err := o.prepare(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			// The network does not work in synctest, so responses are recorded.
			var recorded []recording
			o.action.run(withInjector(t.Context(), func(c *call) (*http.Response, error) {
				if isOperation("SendMessageBatch", "PutEvents")(c) { // these need no network
					recorded = append(recorded, recording{c.operation, false, (*call).send})
					return c.send()
				}
				resp, err := c.send()
				body, err := readResponse(resp, err)
				if err != nil {
					return nil, err
				}
				replay := func(c *call) (*http.Response, error) {
					again := *resp
					again.Body, again.Request = io.NopCloser(bytes.NewReader(body)), c.request
					return &again, nil
				}
				recorded = append(recorded, recording{c.operation, bytes.Contains(c.body, []byte("IndexName")), replay})
				return replay(c)
			}), f)
			for n := range recorded {
				for _, left := range []time.Duration{1500 * time.Millisecond, o.action.margin() + 200*time.Millisecond} {
					synctest.Test(t, func(t *testing.T) {
						f.newServices(time.Minute)
						f.restart()
						ctx, cancel := context.WithTimeout(withInjector(t.Context(), replayThenHang(recorded[:n])), left)
						defer cancel()
						got := o.action.run(ctx, f)
						if ctx.Err() != nil {
							t.Errorf("call %d hangs: the response came too late", n+1)
						}
						if !o.action.isRetryable(got) {
							t.Errorf("call %d hangs: %v", n+1, got)
						}
						time.Sleep(time.Minute) // a read that requests share goes on without them
					})
				}
			}
		})
	}
}

// recording is a call whose response is recorded.
type recording struct {
	operation string
	ofIndex   bool
	replay    injector
}

// replayThenHang answers each call with the next recorded response to a call of
// its kind: a list makes two different calls at the same time. When there is none
// left, the database hangs.
func replayThenHang(recorded []recording) injector {
	var mu sync.Mutex
	left := slices.Clone(recorded)
	return func(c *call) (*http.Response, error) {
		mu.Lock()
		i := slices.IndexFunc(left, func(r recording) bool {
			return r.operation == c.operation && r.ofIndex == bytes.Contains(c.body, []byte("IndexName"))
		})
		if i < 0 {
			mu.Unlock()
			return hang(c)
		}
		replay := left[i].replay
		left = slices.Delete(left, i, i+1)
		mu.Unlock()
		return replay(c)
	}
}

// TestNoGoroutineLeaks counts goroutines after histories under faults. It is not
// parallel, because it counts those of the whole test process.
func TestNoGoroutineLeaks(t *testing.T) {
	client, meter := dynamotest.Start(t)
	meter.Fault, meter.Now = intercept, nil
	// count returns the number of goroutines as soon as it is at most the limit, or
	// has not changed for a while.
	count := func(limit int, unchanged time.Duration) int {
		n := runtime.NumGoroutine()
		for changed := time.Now(); n > limit && time.Since(changed) < unchanged; {
			time.Sleep(10 * time.Millisecond)
			meter.CloseIdleConnections()
			if now := runtime.NumGoroutine(); now != n {
				n, changed = now, time.Now()
			}
		}
		return n
	}
	soak := func(histories uint64) {
		var wg sync.WaitGroup
		for i := range histories {
			wg.Go(func() {
				if _, err := runHistory(t.Context(), client, *seed+100+i, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	soak(1)
	before := count(0, 500*time.Millisecond)
	for range *effort {
		soak(3)
	}
	// On a busy machine it takes a while until the last timeouts are over.
	if after := count(before, 10*time.Second); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after; seed %d\n%s", before, after, *seed, stacks[:runtime.Stack(stacks, true)])
	}
}
