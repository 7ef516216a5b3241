package prove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// TestOverload asks a server five times what it can do. It may say that it is
// too much, but nothing else, and must be its old self soon after.
func TestOverload(t *testing.T) {
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.api)
	defer server.Close()
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}
	defer caller.CloseIdleConnections()
	var answered sync.Map // counts by status
	ask := func(n int64) int {
		method, path, body := "GET", "/"+w.ids("lead_1"), ""
		switch n % 4 {
		case 0:
			method, path, body = "POST", "", `{"lead_name":"load"}`
		case 1:
			method, body = "PATCH", fmt.Sprintf(`{"city":"%d"}`, n)
		case 2:
			path = "?limit=5"
		}
		r, err := http.NewRequest(method, server.URL+"/api/crm/lead"+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Error(err)
			return 0
		}
		r.Header.Set("Authorization", "Bearer "+w.key)
		resp, err := caller.Do(r)
		if err != nil {
			t.Error(err)
			return 0
		}
		if err := discard(resp); err != nil {
			t.Error(err)
		}
		if resp.StatusCode >= 300 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("status %d without Retry-After", resp.StatusCode)
		}
		count, _ := answered.LoadOrStore(resp.StatusCode, new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
		return resp.StatusCode
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
	var heap uint64
	for range int(2 * time.Second / tick) {
		for range each {
			wg.Go(func() { ask(n.Add(1)) })
		}
		time.Sleep(tick)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = max(heap, m.HeapInuse+m.StackInuse)
	}
	wg.Wait()
	quiet := time.Now()
	for ask(n.Add(1)) >= 300 {
		if time.Since(quiet) > 10*time.Second {
			t.Fatal("not back to normal within 10 seconds")
		}
	}
	answered.Range(func(status, count any) bool {
		s := status.(int)
		t.Logf("%d: %d times", s, count.(*atomic.Int64).Load())
		if s != 200 && s != 201 && s != 429 && s != 503 {
			t.Errorf("status %d", s)
		}
		return true
	})
	t.Logf("it can answer %.0f a second; asked %d a second, it used at most %d MB", can, each*int(time.Second/tick), heap>>20)
	if heap > 512<<20 {
		t.Errorf("%d MB in use", heap>>20)
	}
}

// TestDatabaseOverload has the database throttle four of five requests, as it
// does for functions that ask for five times what it can do.
func TestDatabaseOverload(t *testing.T) {
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	throttled := over(t.Context(), func(x *exchange) (*http.Response, error) {
		if asked.Add(1)%5 > 0 {
			return says(400, "ThrottlingException")(x)
		}
		return x.send()
	})
	var wg sync.WaitGroup
	for i := range 16 {
		process := w.process()
		wg.Go(func() {
			for n := range 4 {
				ctx, cancel := context.WithTimeout(throttled, 500*time.Millisecond)
				a := w.callOn(ctx, process, request{method: "POST", body: fmt.Sprintf(`{"lead_name":"%d.%d"}`, i, n)})
				cancel()
				if a.status != 201 && !busy(a) {
					t.Error(a)
				}
				if a := w.callOn(t.Context(), process, request{method: "GET", path: "/lead_1"}); a.status != 200 {
					t.Errorf("right after it: %v", a)
				}
			}
		})
	}
	wg.Wait()
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
	if err := errors.Join(err, resp.Body.Close()); err != nil {
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
	connections := client.Options().HTTPClient.(*http.Client)
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
