package dynamo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// badWeather is a database with a clock that runs fast, and a network that loses
// requests and responses of transactions, and delivers some much later. The local
// clocks of the processes jump.
type badWeather struct {
	mu     sync.Mutex
	random *rand.Rand
	now    time.Time
	skews  []time.Duration
	late   []func()
}

func (w *badWeather) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

func (w *badWeather) serverTime() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// localTime returns the clock of a process.
func (w *badWeather) localTime(process int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.Add(w.skews[process])
}

// step lets time pass, a clock jump, or a late request arrive.
func (w *badWeather) step() {
	w.mu.Lock()
	w.now = w.now.Add(time.Duration(w.random.IntN(20_000)) * time.Millisecond)
	switch w.random.IntN(25) {
	case 0:
		w.now = w.now.Add(12 * time.Minute) // all processes are suspended
	case 1, 3, 4, 5:
		w.skews[w.random.IntN(len(w.skews))] = []time.Duration{
			-2 * time.Hour, -14 * time.Minute, -4 * time.Second, 0, 0, 6 * time.Minute, 14 * time.Minute, 2 * time.Hour,
		}[w.random.IntN(8)]
	case 2:
		if len(w.late) > 0 {
			deliver := w.late[0]
			w.late = w.late[1:]
			w.mu.Unlock()
			deliver()
			return
		}
	}
	w.mu.Unlock()
}

var errLost = errors.New("connection reset")

func (w *badWeather) intercept(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	w.step()
	if operation != "TransactWriteItems" {
		resp, err := splitQueries(operation, r, next)
		w.step()
		return resp, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	send := func(ctx context.Context) (*http.Response, error) {
		again := r.Clone(ctx)
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return next.RoundTrip(again)
	}
	switch w.intN(12) {
	case 0: // arrives later
		w.mu.Lock()
		w.late = append(w.late, func() {
			if resp, err := send(context.WithoutCancel(r.Context())); err == nil {
				resp.Body.Close()
			}
		})
		w.mu.Unlock()
		return nil, errLost
	case 1: // the response is lost
		resp, err := send(r.Context())
		if err == nil {
			resp.Body.Close()
		}
		return nil, errLost
	}
	resp, err := send(r.Context())
	w.step()
	return resp, err
}

// play has processes create, move, delete and list leads in bad weather, and
// returns what is wrong with the counters in the end.
func (w *badWeather) play(t *testing.T, configure ...func(*dynamodb.Options)) (wrong []string) {
	t.Helper()
	client, meter := dynamotest.Start(t, configure...)
	meter.Now, meter.Fault = w.serverTime, w.intercept
	process := func(i int) *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now = func() time.Time { return w.localTime(i) }
		table.SetNear(3)
		return table
	}
	var mu sync.Mutex
	var ids []lead.ID
	report := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	// An operation may fail with an unknown outcome, but not otherwise.
	isLost := func(err error) bool {
		var unavailable *lead.UnavailableError
		return errors.As(err, &unavailable) || errors.Is(err, lead.ErrNotFound)
	}
	var writing sync.WaitGroup
	for i := range w.skews {
		table := process(i)
		writing.Go(func() {
			for range 60 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				values := lead.Defaults()
				values[statusField] = []any{"Lead", "Open", "Lost"}[w.intN(3)]
				var id lead.ID
				mu.Lock()
				if n := len(ids); n > 0 {
					id = ids[w.intN(n)]
				}
				mu.Unlock()
				var err error
				switch what := w.intN(8); {
				case what < 3 || id == "":
					var l lead.Lead
					if l, _, err = table.Create(ctx, acme, values, lead.IdempotencyKey{}); err == nil {
						mu.Lock()
						ids = append(ids, l.ID)
						mu.Unlock()
					}
				case what < 6:
					_, err = table.Update(ctx, acme, id, []lead.Change{{Field: statusField, Value: values[statusField]}}, lead.Precondition{})
				case what == 6:
					err = table.Delete(ctx, acme, id, lead.Precondition{})
				default:
					q := lead.ListQuery{Limit: 5, Offset: int64(w.intN(10))}
					if w.intN(2) == 0 {
						q.Filter = &lead.Filter{Field: statusField, Value: "Open"}
					}
					if _, err := table.List(ctx, acme, q); err != nil {
						report("a list failed: %v", err)
					}
				}
				if err != nil && !isLost(err) {
					report("an operation failed: %v", err)
				}
				cancel()
			}
		})
	}
	writing.Wait()
	for len(w.late) > 0 {
		w.step()
	}
	meter.Fault = nil
	w.now = w.now.Add(time.Hour)

	var m model
	table := process(0)
	for l, err := range table.All(t.Context(), acme) {
		if err != nil {
			t.Fatal(err)
		}
		m.add(l)
	}
	for _, q := range []lead.ListQuery{
		{Limit: 100}, {Limit: 5, Offset: 20},
		{Limit: 100, Filter: &lead.Filter{Field: statusField, Value: "Open"}},
		{Limit: 5, Offset: 7, Filter: &lead.Filter{Field: statusField, Value: "Lead"}},
	} {
		for _, lister := range []*dynamo.Table{table, table, process(1)} {
			got, err := lister.List(t.Context(), acme, q)
			if err != nil {
				report("%s: %v", describe(q), err)
			} else if d := differ(got, m.page(q)); d != "" {
				report("%s: %s", describe(q), d)
			}
		}
	}
	table.SetSleep(noSleep)
	_, err := table.Audit(t.Context(), dynamo.Audit{
		Tenant:   acme,
		Found:    func(d dynamo.Difference) { report("audit: %+v", d) },
		Progress: func(int64, int64) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}

func newBadWeather(seed uint64) *badWeather {
	return &badWeather{
		random: rand.New(rand.NewPCG(seed, 1)),
		now:    time.Date(2026, 3, 1, 23, 18, 0, 0, time.UTC),
		skews:  make([]time.Duration, 3),
	}
}

// TestClocksDoNotSpoilCounters: whatever the local clocks say, and however late a
// request arrives, the counters are those of the leads.
func TestClocksDoNotSpoilCounters(t *testing.T) {
	for seed := range uint64(6) {
		if wrong := newBadWeather(seed).play(t); len(wrong) > 0 {
			t.Fatalf("seed %d: %s", seed, slices.Compact(wrong))
		}
	}
}

// TestClockTestNoticesWrongSignatures leaves out what keeps late writers from
// sealed windows: the SDK signs with the current time. The same test must find
// that.
func TestClockTestNoticesWrongSignatures(t *testing.T) {
	for seed := range uint64(60) {
		wrong := newBadWeather(seed).play(t, func(o *dynamodb.Options) { o.HTTPSignerV4 = v4.NewSigner() })
		if len(wrong) > 0 {
			t.Logf("seed %d: %s", seed, wrong[0])
			return
		}
	}
	t.Error("nothing was found")
}
