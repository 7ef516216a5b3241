package dynamo_test

import (
	"flag"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// Property tests run long on a real engine; -rapid.checks=1000 runs them longer.
func init() { flag.Set("rapid.checks", "25") }

// TestListsAreExact holds total and every offset to a plain list of what was
// created and deleted, while time passes in all ways.
func TestListsAreExact(t *testing.T) {
	client, _ := dynamotest.Start(t)
	var accounts atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Date(2026, 2, 27, 23, 49, 0, 0, time.UTC)
		process := func() *dynamo.Table {
			table := dynamo.New(client, dynamotest.TableName)
			table.Now = func() time.Time { return now }
			return table
		}
		table, other := process(), process() // all leads are made by one, in its order
		other.Now = func() time.Time { return now.Add(2 * time.Minute) }
		tenant := lead.Tenant{Account: fmt.Sprintf("a%d", accounts.Add(1)), Mode: lead.Test}
		var model []lead.ID // newest first

		rt.Repeat(map[string]func(*rapid.T){
			"time passes": func(rt *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{
					time.Microsecond, 300 * time.Millisecond, time.Second, 3 * time.Second, time.Minute,
					9 * time.Minute, 10 * time.Minute, 26 * time.Minute, 2 * time.Hour, 24 * time.Hour, 400 * 24 * time.Hour,
					-time.Second, -time.Minute,
				}).Draw(rt, "by"))
			},
			"create": func(rt *rapid.T) {
				for range rapid.SampledFrom([]int{1, 1, 2, 12}).Draw(rt, "times") {
					made, err := table.CreateTogether(t.Context(), tenant, rapid.SampledFrom([]int{1, 1, 1, 5, 45}).Draw(rt, "leads"))
					if err != nil {
						rt.Fatal(err)
					}
					slices.Reverse(made)
					model = slices.Insert(model, 0, made...)
				}
			},
			"delete": func(rt *rapid.T) {
				if len(model) == 0 {
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(rt, "which")
				if err := other.Delete(t.Context(), tenant, model[i], lead.Precondition{}); err != nil {
					rt.Fatal(err)
				}
				if err := table.Delete(t.Context(), tenant, model[i], lead.Precondition{}); err != lead.ErrNotFound {
					rt.Fatalf("a second delete: %v", err)
				}
				model = slices.Delete(model, i, i+1)
			},
			"forget caches": func(rt *rapid.T) {
				if err := table.ForgetCaches(t.Context(), tenant); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				for _, offset := range []int{0, rapid.IntRange(0, len(model)+1).Draw(rt, "offset")} {
					for _, near := range []int64{3, -1} {
						lister := rapid.SampledFrom([]*dynamo.Table{table, other, process()}).Draw(rt, "lister")
						lister.SetNear(near)
						leads, total, err := lister.List(t.Context(), tenant, 5, int64(offset))
						if err != nil {
							rt.Fatal(err)
						}
						got := idsOf(leads)
						want := model[min(offset, len(model)):min(offset+5, len(model))]
						if total != int64(len(model)) || !slices.Equal(got, want) {
							rt.Fatalf("offset %d: total %d of %d, %v, want %v", offset, total, len(model), got, want)
						}
					}
				}
			},
		})
	})
}

// TestTotalIsExactAfterABurst has more writers at once than a process reads books
// of when it lists first, and new processes list, then and when all is settled.
func TestTotalIsExactAfterABurst(t *testing.T) {
	process, meter, now := newProcesses(t, time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC))
	writer, total := process(), 0
	for _, pass := range []time.Duration{0, time.Second, 8 * time.Minute, 21 * time.Minute, time.Hour} {
		*now = now.Add(pass)
		made, err := writer.CreateTogether(t.Context(), acme, 60)
		if err != nil {
			t.Fatal(err)
		}
		total += len(made)
		once := process()
		for i, lister := range []*dynamo.Table{once, once, process(), writer} {
			cost{6, 26, 1}.expect(t, meter, fmt.Sprintf("after %v, list %d", pass, i), page(t, lister, acme, 0, 20, int64(total)))
		}
		for _, offset := range []int64{0, 59, 60, int64(total - 20)} {
			once.SetNear(-1)
			leads := min(20, total-int(offset))
			if err := page(t, once, acme, offset, leads, int64(total))(); err != nil {
				t.Errorf("after %v, offset %d: %v", pass, offset, err)
			}
		}
	}
}

// TestWrongClockSpoilsNoTotal makes a key, and lists, by a clock that is ahead.
func TestWrongClockSpoilsNoTotal(t *testing.T) {
	client, _ := dynamotest.Start(t)
	tenant := lead.Tenant{Account: "acme", Mode: lead.Test}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	ahead := dynamo.New(client, dynamotest.TableName)
	ahead.Now = func() time.Time { return now.Add(30 * 24 * time.Hour) }
	right := dynamo.New(client, dynamotest.TableName)
	right.Now = func() time.Time { return now }

	_, key := apikey.NewKey(tenant, apikey.Read, ahead.Now(), time.Time{})
	if err := ahead.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	for made := int64(1); made <= 3; made++ {
		if _, _, err := right.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
		right.SetNear(-1)
		leads, total, err := right.List(t.Context(), tenant, 100, 0)
		if err != nil || total != made || int64(len(leads)) != made {
			t.Fatalf("%d leads, total %d, %v, want %d", len(leads), total, err, made)
		}
		ahead.SetNear(-1)
		if _, _, err := ahead.List(t.Context(), tenant, 1, made-1); err != nil {
			t.Fatal(err)
		}
		now = now.Add(26 * time.Hour)
	}
}
