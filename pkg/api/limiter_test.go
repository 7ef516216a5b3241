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

// blockingStore is a store whose Retrieve returns when it is released.
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

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &blockingStore{release: make(chan struct{})}
		handler := api.New(api.Config{Leads: store}).Handler(api.RetrieveLead)
		retrieve := func(ctx context.Context) int {
			r := httptest.NewRequestWithContext(api.WithTenant(ctx, lead.Tenant{Account: "acme", Mode: lead.Test}), http.MethodGet, someLead, nil)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		ctx, cancel := context.WithCancel(t.Context())
		statuses := make(chan int, maxInFlight)
		for range maxInFlight {
			go func() { statuses <- retrieve(ctx) }()
		}
		synctest.Wait()
		if store.running.Load() != maxWorkers || len(statuses) != 0 {
			t.Errorf("of %d requests %d run and %d are answered, want %d and 0", maxInFlight, store.running.Load(), len(statuses), maxWorkers)
		}
		if status := retrieve(t.Context()); status != http.StatusServiceUnavailable {
			t.Errorf("one more request is answered with %d, want 503", status)
		}

		store.release <- struct{}{}
		synctest.Wait()
		if len(statuses) != 1 || <-statuses != http.StatusNotFound || store.running.Load() != maxWorkers+1 {
			t.Errorf("one request was released, and then %d have run, want %d", store.running.Load(), maxWorkers+1)
		}

		cancel() // the requests that wait give up
		for range maxInFlight - 1 - maxWorkers {
			if status := <-statuses; status != http.StatusServiceUnavailable {
				t.Errorf("a request that was given up is answered with %d, want 503", status)
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
			go func() { statuses <- retrieve(t.Context()) }()
		}
		for range maxInFlight {
			store.release <- struct{}{}
			if status := <-statuses; status != http.StatusNotFound {
				t.Errorf("a later request is answered with %d, want 404", status)
			}
		}
	})
}
