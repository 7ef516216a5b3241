package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var loading = lead.Tenant{Account: "acme", Mode: lead.Live}

// named returns the create of a lead of this name that happens once.
func named(t *testing.T, name, key string) lead.CreateRequest {
	t.Helper()
	changes, err := lead.ParseChanges(fmt.Appendf(nil, `{"lead_name":%q}`, name))
	if err != nil {
		t.Fatal(err)
	}
	c := lead.CreateRequest{Values: lead.Defaults(), Key: lead.IdempotencyKey{Source: "test", Key: key, TTL: time.Hour}}
	c.Values.Apply(changes)
	return c
}

func manyNamed(t *testing.T, n int) (many []lead.CreateRequest) {
	for i := range n {
		many = append(many, named(t, fmt.Sprint("lead ", i), fmt.Sprint("key ", i)))
	}
	return many
}

// wantTotal fails unless the tenant has so many leads, by the books and by the
// list.
func wantTotal(t *testing.T, table *dynamo.Table, want int) {
	t.Helper()
	listed := 0
	for offset := int64(0); ; offset += 100 {
		leads, total, err := table.List(t.Context(), loading, 100, offset)
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

// wantMade fails unless each outcome is the lead that was wanted, new or not.
func wantMade(t *testing.T, wanted []lead.CreateRequest, outcomes []lead.CreateResult, replayed bool) {
	t.Helper()
	for i, o := range outcomes {
		if o.Err != nil || o.Replayed != replayed || o.Lead.Values != wanted[i].Values {
			t.Fatalf("outcome %d: %+v, want it made, replayed %v", i, o, replayed)
		}
	}
}

func TestCreateMany(t *testing.T) {
	t.Run("makes 49 leads in each transaction and counts them", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		now := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
		table.Now = func() time.Time { return now }
		wanted := manyNamed(t, 120)
		outcomes := table.CreateMany(t.Context(), loading, wanted)
		if requests, _, _ := meter.Cost(); requests != 3 {
			t.Errorf("%d requests for 120 leads, want 3", requests)
		}
		wantMade(t, wanted, outcomes, false)
		wantTotal(t, table, 120)
		leads, _, _ := table.List(t.Context(), loading, 1, 0)
		if leads[0].ID != outcomes[119].Lead.ID {
			t.Errorf("the newest lead is %s, want the last one", leads[0].ID)
		}
	})
	t.Run("makes none again", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		wanted := manyNamed(t, 49)
		first := table.CreateMany(t.Context(), loading, wanted)
		meter.Reset()
		again := table.CreateMany(t.Context(), loading, wanted)
		if requests, _, _ := meter.Cost(); requests > 2 {
			t.Errorf("%d requests for leads that were all there", requests)
		}
		wantMade(t, wanted, again, true)
		for i := range first {
			if again[i].Lead.ID != first[i].Lead.ID {
				t.Fatalf("lead %d is another one", i)
			}
		}
		wantTotal(t, table, 49)
	})
	t.Run("makes the others when some were made before or cannot be", func(t *testing.T) {
		table, _ := dynamotest.New(t)
		wanted := manyNamed(t, 30)
		table.CreateMany(t.Context(), loading, wanted[10:20])
		wanted[15] = named(t, "another name", "key 15")
		wanted = append(wanted, named(t, "lead 3", "key 3"))
		outcomes := table.CreateMany(t.Context(), loading, wanted)
		for i, o := range outcomes {
			switch {
			case i == 15:
				if !errors.Is(o.Err, lead.ErrKeyReused) {
					t.Errorf("outcome 15: %v, want ErrKeyReused", o.Err)
				}
			case o.Err != nil || o.Replayed != (10 <= i && i < 20 || i == 30):
				t.Errorf("outcome %d: %+v", i, o)
			}
		}
		if outcomes[30].Lead.ID != outcomes[3].Lead.ID {
			t.Error("one key in one call made two leads")
		}
		wantTotal(t, table, 30)
	})
	t.Run("counts each lead in the cell of its id when time passes meanwhile", func(t *testing.T) {
		table, _ := dynamotest.New(t)
		now := time.Date(2026, 3, 1, 11, 59, 59, 0, time.UTC)
		table.Now = func() time.Time { now = now.Add(100 * time.Millisecond); return now }
		table.SetNear(-1)
		wanted := manyNamed(t, 60)
		wantMade(t, wanted, table.CreateMany(t.Context(), loading, wanted), false)
		wantTotal(t, table, 60)
	})
	t.Run("makes each once when every answer is lost at first", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		meter.Fault = losing()
		wanted := append(manyNamed(t, 60), lead.CreateRequest{Values: lead.Defaults()})
		wantMade(t, wanted, table.CreateMany(t.Context(), loading, wanted), false)
		wantTotal(t, table, 61)
	})
	t.Run("says busy of all when the database is away and makes them later", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		wanted := manyNamed(t, 3)
		meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for i, o := range table.CreateMany(ctx, loading, wanted) {
			var busy *lead.UnavailableError
			if !errors.As(o.Err, &busy) {
				t.Errorf("outcome %d: %v, want busy", i, o.Err)
			}
		}
		meter.Fault = nil
		wantMade(t, wanted, table.CreateMany(t.Context(), loading, wanted), false)
		wantTotal(t, table, 3)
	})
}

// TestFullBooksAreLeft has other processes fill the page that a process is
// writing to, which it cannot know.
func TestFullBooksAreLeft(t *testing.T) {
	process, meter, _ := newProcesses(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	table, other := process(), process()
	create := func() {
		t.Helper()
		if _, _, err := table.Create(t.Context(), loading, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(page string, room int64) {
		t.Helper()
		if err := table.Tamper(t.Context(), loading, page, "n", 9999-1-room); err != nil {
			t.Fatal(err)
		}
	}
	create()
	fill("2026-03-01T12:0/0.0", 1)
	create()
	meter.Reset()
	create()
	if requests, _, _ := meter.Cost(); requests != 2 {
		t.Errorf("a create that met a full page took %d requests, want 2", requests)
	}
	create()

	many := manyNamed(t, 60)
	wantMade(t, many, other.CreateMany(t.Context(), loading, many), false) // begins with the full page
	wantTotal(t, other, 64)
}

// losing returns a fault: of every two requests the first is done, and where it is
// a transaction its answer is lost.
func losing() func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
	calls := 0
	return func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		resp, err := send.RoundTrip(r)
		if calls++; operation == "TransactWriteItems" && calls%2 == 1 && err == nil {
			resp.Body.Close()
			return nil, errors.New("connection reset")
		}
		return resp, err
	}
}
