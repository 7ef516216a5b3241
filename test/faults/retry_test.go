package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/test/dynamotest"
)

// sendWithLateRetry sends an update whose first response is lost, calls others,
// and then lets the second attempt pass.
func sendWithLateRetry(ctx context.Context, f *fixture, r request, others func()) response {
	attempts := 0
	return f.send(withInjector(ctx, func(c *call) (*http.Response, error) {
		if c.operation == "UpdateItem" {
			attempts++
		}
		if c.operation != "UpdateItem" || attempts > 1 {
			return c.send()
		}
		resp, err := executeThen(failWith(io.EOF))(c)
		others()
		return resp, err
	}), r)
}

// TestLateRetryDoesNotUndoLaterUpdates retries an update after other updates
// were acknowledged. They are so many, and take so long, that a shorter memory
// of nonces would have lost the first.
func TestLateRetryDoesNotUndoLaterUpdates(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	for _, header := range []map[string]string{nil, {"If-Match": `"1"`}, {"If-Match": "*"}, {"If-None-Match": `"9"`}} {
		for _, others := range []int{1, 5, 40} {
			// No time, half an era of nonces, and the longest that a call is retried,
			// each from several points of an era.
			for _, duration := range []time.Duration{0, 7 * time.Second, 10 * time.Second} {
				for _, start := range []time.Duration{0, 5 * time.Second, 14 * time.Second} {
					t.Run(fmt.Sprintf("%v, %d others, %v, from %v", header, others, duration, start), func(t *testing.T) {
						t.Parallel()
						lateRetry(t, newFixture(t, client, 1, start), header, others, duration)
					})
				}
			}
		}
	}
}

func lateRetry(t *testing.T, f *fixture, header map[string]string, others int, duration time.Duration) {
	process := f.newAPI() // of the others
	r := request{method: "PATCH", path: "/lead_1", header: header, body: `{"city":"first","state":"kept"}`}
	got := sendWithLateRetry(t.Context(), f, r, func() {
		for i := range others {
			f.advance(duration / time.Duration(others))
			if got := f.sendTo(t.Context(), process, request{method: "PATCH", path: "/lead_1", body: fmt.Sprintf(`{"city":"other %d"}`, i+1)}); got.status != 200 {
				t.Fatal(got)
			}
		}
	})
	v := correct
	last := f.send(t.Context(), request{method: "GET", path: "/lead_1"})
	switch {
	case got.status != 200:
		v = wrong
	case findCity(last) != fmt.Sprintf("other %d", others):
		v = lost
	case last.etag != fmt.Sprintf(`"%d"`, others+2):
		v = doubled
	}
	record("late retry after other updates", "update", v)
	if v != correct {
		t.Errorf("%v: the update got %v, a read then %v", v, got, last)
	}
}

// TestLateRetryDetectsMutant checks that the test above needs the nonces.
func TestLateRetryDetectsMutant(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 1, 0)
	process := f.newAPI()
	m := findMutant(withoutNonce)
	mutated := conditions{mutant: m}.in(t.Context())
	sendWithLateRetry(mutated, f, request{method: "PATCH", path: "/lead_1", body: `{"city":"first"}`}, func() {
		f.sendTo(mutated, process, request{method: "PATCH", path: "/lead_1", body: `{"city":"other"}`})
	})
	got := f.send(t.Context(), request{method: "GET", path: "/lead_1"})
	if err := m.check(findCity(got) == "first"); err != nil {
		t.Errorf("%v: %v", err, got)
	}
}

// TestFrequentUpdatesKeepItemSmall updates a lead 50 times a second for a minute.
// An item of DynamoDB has at most 400 KB. An update consumes a unit for each KB
// of its item.
func TestFrequentUpdatesKeepItemSmall(t *testing.T) {
	t.Parallel()
	client, meter := dynamotest.Start(t)
	meter.Now = nil // the fixture has its own clock
	f := newFixture(t, client, 1, 0)
	update := func(city string) (units float64) {
		meter.Reset()
		if got := f.send(t.Context(), request{method: "PATCH", path: "/lead_1", body: fmt.Sprintf(`{"city":"%s"}`, city)}); got.status != 200 {
			t.Fatal(got)
		}
		_, _, units = meter.Cost()
		return units
	}
	largest := 0.
	const perSecond = 50
	for i := range 60 * perSecond {
		f.advance(time.Second / perSecond)
		largest = max(largest, update(fmt.Sprint(i)))
	}
	if largest < 2 || largest > 64 {
		t.Errorf("an update consumed %v units", largest)
	}
	f.advance(time.Minute)
	update("quiet")
	f.advance(time.Minute)
	t.Logf("an update consumed at most %v units, and %v after two quiet minutes", largest, update("quiet"))
}

func TestConcurrentCreatesWithOneKey(t *testing.T) {
	t.Parallel()
	createWithOneKey(t, t.Context(), newFixture(t, startDatabase(t), 0, 0), 1000, 1000)
}

// createWithOneKey sends creates with one Idempotency-Key to several processes
// at the same time. At least some of them must get the lead. The others may be
// told to retry.
func createWithOneKey(t *testing.T, ctx context.Context, f *fixture, requests, atLeast int) {
	processes := []http.Handler{f.newAPI(), f.newAPI(), f.newAPI(), f.newAPI()}
	r := request{method: "POST", header: map[string]string{"Idempotency-Key": "one"}, body: `{"lead_name":"one"}`}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var created, replayed, retry int
	leads := map[string]bool{}
	for i := range requests {
		wg.Go(func() {
			got := f.sendTo(ctx, processes[i%len(processes)], r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case got.status == 201 && got.replayed == "":
				created++
			case got.status == 201:
				replayed++
			case isRetryLater(got):
				retry++
				return
			default:
				t.Error(got)
			}
			leads[got.location+got.body] = true
		})
	}
	wg.Wait()
	total := f.total(t.Context())
	v := correct
	if created > 1 || len(leads) != 1 || total != 1 {
		v = doubled
		t.Errorf("%v: one key got %d different responses, %d of them without Idempotent-Replayed, and made %d leads", v, len(leads), created, total)
	}
	if created+replayed < atLeast {
		v = wrong
		t.Errorf("%v: only %d of %d got the lead", v, created+replayed, requests)
	}
	record("concurrent requests with one key", "create with key", v)
	t.Logf("%d created, %d replayed, %d told to retry", created, replayed, retry)
}
