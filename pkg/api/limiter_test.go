package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
)

// The limits that limiter.go documents.
const maxWorkers, maxInFlight = 32, 1024

// blockingStore is a store whose Retrieve and Delete return when they are released.
type blockingStore struct {
	failingStore
	running atomic.Int32
	release chan struct{}
}

func (s *blockingStore) Retrieve(context.Context, lead.Tenant, lead.ID) (lead.Lead, error) {
	s.running.Add(1)
	<-s.release
	return lead.Lead{}, lead.ErrNotFound
}

func (s *blockingStore) Delete(ctx context.Context, t lead.Tenant, id lead.ID, _ lead.Precondition) error {
	_, err := s.Retrieve(ctx, t, id)
	return err
}

// TestReadsAndWritesDoNotWaitForEachOther blocks as many writes, or reads, as the
// API accepts.
func TestReadsAndWritesDoNotWaitForEachOther(t *testing.T) {
	for blocked, other := range map[string]string{http.MethodGet: http.MethodDelete, http.MethodDelete: http.MethodGet} {
		synctest.Test(t, func(t *testing.T) {
			store := &blockingStore{release: make(chan struct{})}
			handler := api.New(api.Config{Leads: store}).Handler(api.Routes()...)
			send := func(method string) {
				ctx := api.WithTenant(t.Context(), lead.Tenant{Account: "acme", Mode: lead.Test})
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, method, someLead, nil))
			}
			for range maxInFlight {
				go send(blocked)
			}
			synctest.Wait()
			go send(other)
			synctest.Wait()
			if running := store.running.Load(); running != maxWorkers+1 {
				t.Errorf("beside %d requests of the method %s, %d run, want %d and one %s", maxInFlight, blocked, running, maxWorkers, other)
			}
			close(store.release)
		})
	}
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &blockingStore{release: make(chan struct{})}
		handler := api.New(api.Config{Leads: store}).Handler(api.RetrieveLead)
		retrieve := func() int {
			r := httptest.NewRequestWithContext(api.WithTenant(t.Context(), lead.Tenant{Account: "acme", Mode: lead.Test}), http.MethodGet, someLead, nil)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		statuses := make(chan int, maxInFlight)
		for range maxInFlight {
			go func() { statuses <- retrieve() }()
		}
		synctest.Wait()
		if store.running.Load() != maxWorkers || len(statuses) != 0 {
			t.Errorf("of %d requests %d run and %d are answered, want %d and 0", maxInFlight, store.running.Load(), len(statuses), maxWorkers)
		}
		if status := retrieve(); status != http.StatusServiceUnavailable {
			t.Errorf("one more request is answered with %d, want 503", status)
		}

		store.release <- struct{}{}
		synctest.Wait()
		if len(statuses) != 1 || <-statuses != http.StatusNotFound || store.running.Load() != maxWorkers+1 {
			t.Errorf("one request was released, and then %d have run, want %d", store.running.Load(), maxWorkers+1)
		}

		// After ten seconds, the requests that wait give up.
		for range maxInFlight - 1 - maxWorkers {
			if status := <-statuses; status != http.StatusServiceUnavailable {
				t.Errorf("a request that gave up is answered with %d, want 503", status)
			}
		}
		for range maxWorkers {
			store.release <- struct{}{}
			if status := <-statuses; status != http.StatusNotFound {
				t.Errorf("a request that was released is answered with %d, want 404", status)
			}
		}

		// All slots are free again.
		for range maxInFlight {
			go func() { statuses <- retrieve() }()
		}
		for range maxInFlight {
			store.release <- struct{}{}
			if status := <-statuses; status != http.StatusNotFound {
				t.Errorf("a later request is answered with %d, want 404", status)
			}
		}
	})
}

// TestBatchCountsAsEightRequests: its body may be eight times as large.
func TestBatchCountsAsEightRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &blockingStore{release: make(chan struct{})}
		leads := api.New(api.Config{Leads: store})
		var refused atomic.Int32
		for range maxInFlight/8 + 3 {
			go func() {
				if got := sendTo(t, leads, `{"method":"delete","id":"`+noID+`"}`); got.Code == http.StatusServiceUnavailable {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if refused.Load() != 3 {
			t.Errorf("%d batches were refused, want 3", refused.Load())
		}
		close(store.release)
	})
}
