package dynamo_test

import (
	"fmt"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestCostsWithFilters holds what each operation costs with all filters on, for
// leads of up to 1 KB.
func TestCostsWithFilters(t *testing.T) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	table.Filters = lead.FilterNames[:]
	values := sized(650)
	values[emailField] = "ann@example.org"
	var l lead.Lead
	for _, later := range []time.Duration{0, time.Hour, 400 * 24 * time.Hour} {
		cost{1, 0, 11}.expect(t, meter, "create with an e-mail", func() (err error) {
			l, _, err = table.Create(t.Context(), acme, values, lead.IdempotencyKey{})
			return err
		})
		*now = now.Add(later)
		cost{1, 0, 1}.expect(t, meter, "update of another field", func() error {
			_, err := table.Update(t.Context(), acme, l.ID, []lead.Change{{Field: 0, Value: "Ada"}}, lead.Precondition{})
			return err
		})
		cost{2, 1, 10}.expect(t, meter, fmt.Sprint("change of status after ", later), func() error {
			_, err := table.Update(t.Context(), acme, l.ID, []lead.Change{{Field: statusField, Value: "Lost"}}, lead.Precondition{})
			return err
		})
		cost{2, 3, 0}.expect(t, meter, "list by e-mail", func() error {
			page, err := table.List(t.Context(), acme, lead.ListQuery{Filter: &lead.Filter{Field: emailField, Value: "ann@example.org"}, Limit: 20})
			if err == nil && page.Total != 1 {
				err = fmt.Errorf("%d leads, want 1", page.Total)
			}
			return err
		})
		cost{2, 1, 15}.expect(t, meter, fmt.Sprint("delete after ", later), func() error {
			return table.Delete(t.Context(), acme, l.ID, lead.Precondition{})
		})
	}
}

// TestFilteredListCosts lists ten million leads of five years, and those with the
// status Lead, which are all: first pages, offsets and cursors.
func TestFilteredListCosts(t *testing.T) {
	const daily = 5475
	last := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	apart := 24 * time.Hour / daily
	table, meter, now := newTable(t, last.Add(12*time.Hour))
	table.Filters = lead.FilterNames[:]
	days := map[string]int64{}
	for d := range 1826 {
		days[last.AddDate(0, 0, -1-d).Format(time.DateOnly)] = daily
	}
	if err := table.SeedHistory(t.Context(), acme, lead.Defaults(), days); err != nil {
		t.Fatal(err)
	}
	const today = daily / 2
	for _, day := range []struct{ back, leads int }{{0, today}, {1, daily}, {900, daily}} {
		if err := table.Seed(t.Context(), acme, lead.Defaults(), evenly(last.AddDate(0, 0, -day.back), apart, day.leads), func(int) {}); err != nil {
			t.Fatal(err)
		}
	}
	const total = 1826*daily + today
	status := &lead.Filter{Field: statusField, Value: "Lead"}
	list := func(most cost, what string, q lead.ListQuery) (leads []lead.Lead) {
		t.Helper()
		q.Limit = 20
		most.expect(t, meter, what, func() error {
			page, err := table.List(t.Context(), acme, q)
			if err == nil && (page.Total != total || len(page.Leads) != 20 || !page.HasMore) {
				err = fmt.Errorf("%d leads of %d, more: %v", len(page.Leads), page.Total, page.HasMore)
			}
			leads = page.Leads
			return err
		})
		return leads
	}
	*now = now.Add(time.Second)
	for range 3 { // they bring totals and snapshots forward
		for _, q := range []lead.ListQuery{{Limit: 20, Offset: 5000}, {Limit: 20, Filter: status}} {
			if _, err := table.List(t.Context(), acme, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := list(cost{3, 24, 0}, "first page", lead.ListQuery{})
	list(cost{4, 25, 0}, "first page of a status", lead.ListQuery{Filter: status})
	for _, offset := range []int64{101, 2000, today + 3000, today + 899*daily + 2500} {
		list(cost{8, 60, 0}, fmt.Sprint("offset ", offset), lead.ListQuery{Offset: offset})
		at := list(cost{8, 60, 0}, fmt.Sprint("offset of a status ", offset), lead.ListQuery{Filter: status, Offset: offset})
		want := last.AddDate(0, 0, -900).Add(apart * time.Duration(daily-1-2500))
		if offset > 1e6 && !at[0].CreatedAt.Equal(want) {
			t.Errorf("at offset %d there is a lead of %v, want %v", offset, at[0].CreatedAt, want)
		}
		for _, f := range []*lead.Filter{nil, status} {
			after := list(cost{4, 26, 0}, "page by cursor", lead.ListQuery{Filter: f, StartingAfter: at[5].ID})
			if after[0].ID != at[6].ID {
				t.Errorf("after %s there is %s, want %s", at[5].ID, after[0].ID, at[6].ID)
			}
		}
	}
	second := list(cost{4, 26, 0}, "page by cursor", lead.ListQuery{StartingAfter: first[19].ID})
	for _, f := range []*lead.Filter{nil, status} {
		before := list(cost{4, 26, 0}, "page before a cursor", lead.ListQuery{Filter: f, EndingBefore: second[3].ID})
		if before[19].ID != second[2].ID || before[0].ID != first[3].ID {
			t.Errorf("before the cursor there are %s to %s, want %s to %s", before[0].ID, before[19].ID, first[3].ID, second[2].ID)
		}
	}
}

// TestCostOfManyOwners lists while 2,000 owners get leads, and a status that no
// lead has.
func TestCostOfManyOwners(t *testing.T) {
	client, meter := dynamotest.Start(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	meter.Now = func() time.Time { return now }
	table := dynamo.New(client, dynamotest.TableName)
	table.Now = meter.Now
	var requests []lead.CreateRequest
	for i := range 2000 {
		values := lead.Defaults()
		values[ownerField] = fmt.Sprint("owner ", i)
		requests = append(requests, lead.CreateRequest{Values: values})
	}
	meter.Reset()
	for _, r := range table.CreateMany(t.Context(), acme, requests) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	_, _, write := meter.Cost()
	t.Logf("2,000 leads of as many owners: %.1f write units for each", write/2000)
	if write > 2000*11 {
		t.Errorf("an import costs %.1f units for each lead, want at most 11", write/2000)
	}
	for _, owner := range []string{"owner 7", "nobody"} {
		cost{3, 3, 0}.expect(t, meter, "list of "+owner, func() error {
			_, err := table.List(t.Context(), acme, lead.ListQuery{Filter: &lead.Filter{Field: ownerField, Value: owner}, Limit: 20})
			return err
		})
	}
}

// TestCostsAfterManyShortProcesses has processes, one after another, each
// delete and create leads in the same ten minutes. None knows what the others
// wrote to the counter items.
func TestCostsAfterManyShortProcesses(t *testing.T) {
	client, meter := dynamotest.Start(t)
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	meter.Now = func() time.Time { return now }
	process := func() *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now = meter.Now
		return table
	}
	const processes, leads = 8, 40
	values := func(i int) lead.Values {
		v := lead.Defaults()
		v[ownerField] = fmt.Sprint("owner ", i)
		return v
	}
	for where, apart := range map[string]time.Duration{"one window": 0, "many days": 24 * time.Hour} {
		t.Run("leads of "+where, func(t *testing.T) {
			var ids []lead.ID
			table := process()
			for i := range processes * leads {
				if apart > 0 {
					now = now.Add(apart)
				}
				l, _, err := table.Create(t.Context(), acme, values(i), lead.IdempotencyKey{})
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, l.ID)
			}
			now = now.Add(time.Hour)
			var most, sum float64
			for p := range processes {
				table := process()
				for i, id := range ids[p*leads : (p+1)*leads] {
					meter.Reset()
					if err := table.Delete(t.Context(), acme, id, lead.Precondition{}); err != nil {
						t.Fatal(err)
					}
					_, _, deleted := meter.Cost()
					meter.Reset()
					if _, _, err := table.Create(t.Context(), acme, values(i), lead.IdempotencyKey{}); err != nil {
						t.Fatal(err)
					}
					requests, _, created := meter.Cost()
					most, sum = max(most, deleted, created), sum+deleted+created
					if deleted > 15 || created > 11 {
						t.Fatalf("process %d, lead %d: a delete costs %.1f units, want at most 15, a create %.1f in %d requests, want at most 11", p, i, deleted, created, requests)
					}
				}
			}
			t.Logf("at most %.1f units, on average %.1f", most, sum/(processes*leads*2))
		})
	}
}

// TestManyProcessesShareACounterItem has a hundred processes create one lead each,
// one after another. Each adds the size of the same counts to the item again, so
// that it seems full when it is not.
func TestManyProcessesShareACounterItem(t *testing.T) {
	client, meter := dynamotest.Start(t)
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	meter.Now = func() time.Time { return now }
	var table *dynamo.Table
	for range 100 {
		table = dynamo.New(client, dynamotest.TableName)
		table.Now = meter.Now
		if _, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
	}
	requests, _, _ := meter.Cost()
	items, err := table.Items(t.Context(), acme, "counters", "2026")
	if err != nil || len(items) != 1 || requests > 105 {
		t.Errorf("100 processes sent %d requests and wrote %d counter items, want at most 105 and 1; %v", requests, len(items), err)
	}
	if _, total, err := table.ListAt(t.Context(), acme, 1, 0); err != nil || total != 100 {
		t.Errorf("total %d, want 100; %v", total, err)
	}
}
