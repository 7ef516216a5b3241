package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var loading = lead.Tenant{Account: "acme", Mode: lead.Live}

// createRequest returns a request to create a lead with this name and this
// idempotency key.
func createRequest(t *testing.T, name, key string) lead.CreateRequest {
	t.Helper()
	changes, err := lead.ParseChanges(fmt.Appendf(nil, `{"lead_name":%q}`, name))
	if err != nil {
		t.Fatal(err)
	}
	c := lead.CreateRequest{Values: lead.Defaults(), Key: lead.IdempotencyKey{Source: "test", Key: key, TTL: time.Hour}}
	c.Values.Apply(changes)
	return c
}

func createRequests(t *testing.T, n int) (requests []lead.CreateRequest) {
	for i := range n {
		requests = append(requests, createRequest(t, fmt.Sprint("lead ", i), fmt.Sprint("key ", i)))
	}
	return requests
}

// wantTotal fails the test unless the tenant has this many leads, both counted and
// listed.
func wantTotal(t *testing.T, table *dynamo.Table, want int) {
	t.Helper()
	listed := 0
	for offset := int64(0); ; offset += 100 {
		leads, total, err := table.ListAt(t.Context(), loading, 100, offset)
		if err != nil || total != int64(want) {
			t.Fatalf("total %d, want %d (error %v)", total, want, err)
		}
		listed += len(leads)
		if len(leads) < 100 {
			break
		}
	}
	if listed != want {
		t.Fatalf("the list has %d leads, want %d", listed, want)
	}
}

// wantCreated fails the test unless each result is the requested lead, with this
// value of Replayed.
func wantCreated(t *testing.T, requests []lead.CreateRequest, results []lead.CreateResult, replayed bool) {
	t.Helper()
	for i, r := range results {
		if r.Err != nil || r.Replayed != replayed || r.Lead.Values != requests[i].Values {
			t.Fatalf("result %d: %+v, want a lead, replayed %v", i, r, replayed)
		}
	}
}

func TestCreateMany(t *testing.T) {
	t.Run("creates and counts 49 leads in each transaction", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		now := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
		table.Now = func() time.Time { return now }
		meter.Now = table.Now
		table.Filters = nil
		requests := createRequests(t, 120)
		results := table.CreateMany(t.Context(), loading, requests)
		if requests, _, _ := meter.Cost(); requests != 3 {
			t.Errorf("%d requests for 120 leads, want 3", requests)
		}
		wantCreated(t, requests, results, false)
		wantTotal(t, table, 120)
		leads, _, _ := table.ListAt(t.Context(), loading, 1, 0)
		if leads[0].ID != results[119].Lead.ID {
			t.Errorf("the newest lead is %s, want the last one", leads[0].ID)
		}
	})
	t.Run("creates 24 leads in each transaction with rows of two filters", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		requests := createRequests(t, 96)
		results := table.CreateMany(t.Context(), loading, requests)
		if requests, _, _ := meter.Cost(); requests != 4 {
			t.Errorf("%d requests for 96 leads, want 4", requests)
		}
		wantCreated(t, requests, results, false)
		wantTotal(t, table, 96)
		page, err := table.List(t.Context(), loading, lead.ListQuery{Filter: &lead.Filter{Field: statusField, Value: "Lead"}, Limit: 1, Offset: 90})
		if err != nil || page.Total != 96 || page.Leads[0].ID != results[5].Lead.ID {
			t.Errorf("by status there is %+v, %v", page, err)
		}
	})
	t.Run("creates no lead twice", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		table.Filters = nil
		requests := createRequests(t, 49)
		first := table.CreateMany(t.Context(), loading, requests)
		meter.Reset()
		again := table.CreateMany(t.Context(), loading, requests)
		if requests, _, _ := meter.Cost(); requests > 2 {
			t.Errorf("%d requests for leads that all exist", requests)
		}
		wantCreated(t, requests, again, true)
		for i := range first {
			if again[i].Lead.ID != first[i].Lead.ID {
				t.Fatalf("lead %d has another id", i)
			}
		}
		wantTotal(t, table, 49)
	})
	t.Run("creates the other leads if some exist already or are invalid", func(t *testing.T) {
		table, _ := dynamotest.New(t)
		requests := createRequests(t, 30)
		table.CreateMany(t.Context(), loading, requests[10:20])
		requests[15] = createRequest(t, "another name", "key 15")
		requests = append(requests, createRequest(t, "lead 3", "key 3"))
		results := table.CreateMany(t.Context(), loading, requests)
		for i, r := range results {
			switch {
			case i == 15:
				if !errors.Is(r.Err, lead.ErrKeyReused) {
					t.Errorf("result 15: %v, want ErrKeyReused", r.Err)
				}
			case r.Err != nil || r.Replayed != (10 <= i && i < 20 || i == 30):
				t.Errorf("result %d: %+v", i, r)
			}
		}
		if results[30].Lead.ID != results[3].Lead.ID {
			t.Error("one idempotency key created two leads")
		}
		wantTotal(t, table, 30)
	})
	t.Run("counts each lead at the time of its id", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		now := time.Date(2026, 3, 1, 11, 59, 59, 0, time.UTC)
		meter.Now = func() time.Time { return now }
		table.Now = func() time.Time { now = now.Add(100 * time.Millisecond); return now }
		table.SetNear(-1)
		requests := createRequests(t, 60)
		wantCreated(t, requests, table.CreateMany(t.Context(), loading, requests), false)
		wantTotal(t, table, 60)
	})
	t.Run("creates each lead once if the first response of each request is lost", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		meter.Fault = loseResponses()
		requests := append(createRequests(t, 60), lead.CreateRequest{Values: lead.Defaults()})
		wantCreated(t, requests, table.CreateMany(t.Context(), loading, requests), false)
		wantTotal(t, table, 61)
	})
	t.Run("returns UnavailableError if DynamoDB cannot be reached", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		requests := createRequests(t, 3)
		meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for i, r := range table.CreateMany(ctx, loading, requests) {
			var unavailable *lead.UnavailableError
			if !errors.As(r.Err, &unavailable) {
				t.Errorf("result %d: %v, want an UnavailableError", i, r.Err)
			}
		}
		meter.Fault = nil
		wantCreated(t, requests, table.CreateMany(t.Context(), loading, requests), false)
		wantTotal(t, table, 3)
	})
}

// loseResponses returns a fault: the response to every other request is lost if it
// is a transaction.
func loseResponses() func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
	var calls atomic.Int64
	return func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		resp, err := send.RoundTrip(r)
		if n := calls.Add(1); operation == "TransactWriteItems" && n%2 == 1 && err == nil {
			resp.Body.Close()
			return nil, errors.New("connection reset")
		}
		return resp, err
	}
}
