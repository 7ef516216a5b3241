package dynamo_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestReindex has processes with other filters side by side, and leads of an older
// version. Reindex runs while they write. Afterwards all lists are right, and an
// audit finds nothing.
func TestReindex(t *testing.T) {
	client, meter := dynamotest.Start(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	meter.Now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	process := func(filters ...string) *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now, table.Filters = meter.Now, filters
		return table
	}
	none, status, all := process(), process("status"), process(lead.FilterNames[:]...)
	tables := []*dynamo.Table{none, status, all}
	random := rand.New(rand.NewPCG(1, 2))
	values := func() lead.Values {
		v := lead.Defaults()
		v[statusField] = []any{"Lead", "Open", "Lost"}[random.IntN(3)]
		v[ownerField] = []any{"ann", "bob"}[random.IntN(2)]
		v[emailField] = []any{nil, "ann@example.org", "Bob@example.org"}[random.IntN(3)]
		return v
	}
	var m model
	if err := none.SeedOldLeads(t.Context(), acme, values(), evenly(start.Add(-48*time.Hour), time.Hour, 30)); err != nil {
		t.Fatal(err)
	}
	for l, err := range none.All(t.Context(), acme) {
		if err != nil {
			t.Fatal(err)
		}
		m.add(l)
	}
	change := func() {
		table := tables[random.IntN(len(tables))]
		switch what := random.IntN(4); {
		case what < 2 || len(m.leads) == 0:
			l, _, err := table.Create(t.Context(), acme, values(), lead.IdempotencyKey{})
			if err != nil {
				t.Error(err)
			}
			m.add(l)
		case what == 2:
			l := &m.leads[random.IntN(len(m.leads))]
			v := values()
			updated, err := table.Update(t.Context(), acme, l.ID, []lead.Change{
				{Field: statusField, Value: v[statusField]}, {Field: ownerField, Value: v[ownerField]}, {Field: emailField, Value: v[emailField]},
			}, lead.Precondition{})
			if err != nil {
				t.Error(err)
			}
			*l = updated
		default:
			i := random.IntN(len(m.leads))
			if err := table.Delete(t.Context(), acme, m.leads[i].ID, lead.Precondition{}); err != nil {
				t.Error(err)
			}
			m.leads = slices.Delete(m.leads, i, i+1)
		}
		passed.Add(int64(random.IntN(60)) * int64(time.Second))
	}
	check := func(table *dynamo.Table, filters ...lead.Filter) {
		t.Helper()
		for _, f := range filters {
			q := lead.ListQuery{Filter: &f, Limit: 7, Offset: 3}
			if f.Value == "*" {
				q.Filter = nil
			}
			got, err := table.List(t.Context(), acme, q)
			if err != nil {
				t.Fatal(err)
			}
			if d := differ(got, m.page(q)); d != "" {
				t.Errorf("%s: %s", describe(q), d)
			}
		}
		table.SetSleep(noSleep)
		_, err := table.Audit(t.Context(), dynamo.Audit{Tenant: acme, Found: func(d dynamo.Difference) { t.Errorf("%+v", d) }, Progress: func(int64, int64) {}})
		if err != nil {
			t.Fatal(err)
		}
	}
	everything, byStatus := lead.Filter{Value: "*"}, []lead.Filter{{Field: statusField, Value: "Lead"}, {Field: statusField, Value: "Open"}}
	others := []lead.Filter{{Field: ownerField, Value: "ann"}, {Field: emailField, Value: "BOB@example.org"}, {Field: emailField, Value: "ann@example.org"}}

	for range 120 {
		change()
	}
	for _, to := range []*dynamo.Table{status, all, none, all} {
		var writing sync.WaitGroup
		writing.Go(func() {
			for range 60 {
				change()
			}
		})
		reindex := func(after lead.ID) (last lead.ID, changed int64) {
			err := to.Reindex(t.Context(), dynamo.Reindex{Tenant: acme, After: after, Progress: func(_, n int64, id lead.ID) { last, changed = id, n }})
			if err != nil {
				t.Fatal(err)
			}
			return last, changed
		}
		reindex("")
		writing.Wait()
		tables = []*dynamo.Table{to} // all processes have the filters now
		last, _ := reindex("")
		if _, changed := reindex(""); changed != 0 {
			t.Errorf("%d leads were changed again", changed)
		}
		if again, _ := reindex(last); again != "" {
			t.Errorf("after the last lead there is %s", again)
		}
		check(to, everything)
		switch to {
		case status:
			check(to, byStatus...)
		case all:
			check(to, slices.Concat(byStatus, others)...)
		case none:
			if rows, err := to.CountRows(t.Context(), acme, m.leads); err != nil || rows != 0 {
				t.Errorf("%d rows are left, %v", rows, err)
			}
			if _, err := to.List(t.Context(), acme, lead.ListQuery{Filter: &byStatus[0], Limit: 1}); err != lead.ErrFilterOff {
				t.Errorf("a list by a filter that is off: %v", err)
			}
		}
		tables = []*dynamo.Table{none, status, all}
	}
}
