package dynamo_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// Property tests run long on a real engine; -rapid.checks=1000 runs them longer.
func init() { flag.Set("rapid.checks", "25") }

var (
	statusField = lead.FieldNamed("status")
	ownerField  = lead.FieldNamed("lead_owner")
	emailField  = lead.FieldNamed("email_id")
)

// model is a plain list of the leads that there must be.
type model struct{ leads []lead.Lead } // the newest first

func (m *model) add(ls ...lead.Lead) {
	m.leads = append(m.leads, ls...)
	slices.SortFunc(m.leads, func(a, b lead.Lead) int { return strings.Compare(string(b.ID), string(a.ID)) })
}

// page returns what a list must return.
func (m *model) page(q lead.ListQuery) (page lead.Page) {
	var in []lead.Lead
	for _, l := range m.leads {
		second := l.CreatedAt.Truncate(time.Second)
		if q.Filter != nil {
			key, ok := lead.FilterKey(q.Filter.Field, l.Values[q.Filter.Field])
			want, _ := lead.FilterKey(q.Filter.Field, q.Filter.Value)
			if !ok || key != want {
				continue
			}
		}
		if !q.From.IsZero() && second.Before(q.From) || !q.To.IsZero() && !second.Before(q.To) {
			continue
		}
		in = append(in, l)
	}
	page.Total = int64(len(in))
	switch {
	case q.StartingAfter != "":
		in = slices.DeleteFunc(in, func(l lead.Lead) bool { return l.ID >= q.StartingAfter })
	case q.EndingBefore != "":
		in = slices.DeleteFunc(in, func(l lead.Lead) bool { return l.ID <= q.EndingBefore })
		page.HasMore = len(in) > q.Limit
		page.Leads = in[max(0, len(in)-q.Limit):]
		return page
	}
	in = in[min(q.Offset, int64(len(in))):]
	page.HasMore = len(in) > q.Limit
	page.Leads = in[:min(len(in), q.Limit)]
	return page
}

func idsOf(leads []lead.Lead) (ids []lead.ID) {
	for _, l := range leads {
		ids = append(ids, l.ID)
	}
	return ids
}

// differ describes how a page differs from what it must be.
func differ(got, want lead.Page) string {
	if got.Total == want.Total && got.HasMore == want.HasMore && slices.Equal(idsOf(got.Leads), idsOf(want.Leads)) {
		return ""
	}
	return fmt.Sprintf("total %d, has_more %v, %v\nwant %d, %v, %v", got.Total, got.HasMore, idsOf(got.Leads), want.Total, want.HasMore, idsOf(want.Leads))
}

// TestListsAreThoseOfAPlainList creates, updates, moves and deletes leads and
// compares every kind of list with a plain list. Meanwhile time passes, local
// clocks jump up to two hours ahead and behind, and caches are lost.
func TestListsAreThoseOfAPlainList(t *testing.T) {
	client, meter := dynamotest.Start(t)
	var accounts atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Date(2026, 2, 27, 23, 49, 0, 0, time.UTC)
		meter.Now = func() time.Time { return now }
		skews := make([]time.Duration, 2)
		process := func(i int) *dynamo.Table {
			table := dynamo.New(client, dynamotest.TableName)
			table.Now = func() time.Time { return now.Add(skews[i]) }
			return table
		}
		tables := []*dynamo.Table{process(0), process(1)}
		drawTable := func() *dynamo.Table { return tables[rapid.IntRange(0, 1).Draw(rt, "process")] }
		tenant := lead.Tenant{Account: fmt.Sprintf("a%d", accounts.Add(1)), Mode: lead.Test}
		statuses, owners := []string{"Lead", "Open", ""}, []string{"__user", "ann"}
		emails := []any{nil, "", "Ann@Example.org", "ann@example.org", "bob@example.org"}
		draw := func(values []string, label string) string { return rapid.SampledFrom(values).Draw(rt, label) }
		var m model

		rt.Repeat(map[string]func(*rapid.T){
			"time passes": func(rt *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{
					time.Microsecond, 300 * time.Millisecond, time.Second, 3 * time.Second, time.Minute,
					9 * time.Minute, 10 * time.Minute, 26 * time.Minute, 2 * time.Hour, 24 * time.Hour, 60 * time.Hour, 400 * 24 * time.Hour,
				}).Draw(rt, "by"))
			},
			"a clock jumps": func(rt *rapid.T) {
				skews[rapid.IntRange(0, 1).Draw(rt, "whose")] = rapid.SampledFrom([]time.Duration{
					-2 * time.Hour, -14 * time.Minute, -time.Second, 0, 0, 14 * time.Minute, 2 * time.Hour,
				}).Draw(rt, "to")
			},
			"create": func(rt *rapid.T) {
				table := drawTable()
				for range rapid.SampledFrom([]int{1, 1, 2, 6}).Draw(rt, "times") {
					values := lead.Defaults()
					values[statusField], values[ownerField] = draw(statuses, "status"), draw(owners, "owner")
					values[emailField] = rapid.SampledFrom(emails).Draw(rt, "email")
					created, err := table.CreateTogether(t.Context(), tenant, values, rapid.SampledFrom([]int{1, 1, 1, 5, 45}).Draw(rt, "writers"))
					if err != nil {
						rt.Fatal(err)
					}
					m.add(created...)
				}
			},
			"create many": func(rt *rapid.T) {
				requests := make([]lead.CreateRequest, rapid.SampledFrom([]int{1, 3, 50}).Draw(rt, "leads"))
				for i := range requests {
					requests[i].Values = lead.Defaults()
					requests[i].Values[statusField] = statuses[i%len(statuses)]
				}
				for _, r := range drawTable().CreateMany(t.Context(), tenant, requests) {
					if r.Err != nil {
						rt.Fatal(r.Err)
					}
					m.add(r.Lead)
				}
			},
			"update": func(rt *rapid.T) {
				if len(m.leads) == 0 {
					return
				}
				l := &m.leads[rapid.IntRange(0, len(m.leads)-1).Draw(rt, "which")]
				changes := rapid.SampledFrom([][]lead.Change{
					{{Field: statusField, Value: draw(statuses, "status")}},
					{{Field: statusField}},
					{{Field: ownerField, Value: draw(owners, "owner")}},
					{{Field: emailField, Value: rapid.SampledFrom(emails).Draw(rt, "email")}},
					{{Field: statusField, Value: draw(statuses, "status")}, {Field: ownerField, Value: draw(owners, "owner")}, {Field: emailField, Value: "bob@example.org"}},
					{{Field: 0, Value: "Ada"}},
				}).Draw(rt, "changes")
				updated, err := drawTable().Update(t.Context(), tenant, l.ID, changes, lead.Precondition{})
				if err != nil {
					rt.Fatal(err)
				}
				if l.Values.Apply(changes); updated.Values != l.Values || updated.Version != l.Version+1 {
					rt.Fatalf("updated to %+v, want the values %+v", updated, l.Values)
				}
				l.Version++
				if stored, err := drawTable().Retrieve(t.Context(), tenant, l.ID); err != nil || stored != updated {
					rt.Fatalf("stored %+v, %v, want %+v", stored, err, updated)
				}
			},
			"delete": func(rt *rapid.T) {
				if len(m.leads) == 0 {
					return
				}
				i := rapid.IntRange(0, len(m.leads)-1).Draw(rt, "which")
				if err := drawTable().Delete(t.Context(), tenant, m.leads[i].ID, lead.Precondition{}); err != nil {
					rt.Fatal(err)
				}
				if err := drawTable().Delete(t.Context(), tenant, m.leads[i].ID, lead.Precondition{}); err != lead.ErrNotFound {
					rt.Fatalf("a second delete: %v", err)
				}
				m.leads = slices.Delete(m.leads, i, i+1)
			},
			"caches are lost": func(rt *rapid.T) {
				all := rapid.Bool().Draw(rt, "all")
				keep := func() bool { return !all && rapid.Bool().Draw(rt, "keep") }
				if err := tables[0].LoseCaches(t.Context(), tenant, keep); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				q := drawQuery(rt, &m)
				table := drawTable()
				if rapid.IntRange(0, 3).Draw(rt, "new process") == 0 {
					table = process(rapid.IntRange(0, 1).Draw(rt, "clock"))
				}
				table.SetNear(rapid.SampledFrom([]int64{100, 3, -1}).Draw(rt, "near"))
				got, err := table.List(t.Context(), tenant, q)
				if err != nil {
					rt.Fatal(err)
				}
				if d := differ(got, m.page(q)); d != "" {
					rt.Fatalf("%s: %s", describe(q), d)
				}
			},
		})
	})
}

func describe(q lead.ListQuery) string {
	filter := ""
	if q.Filter != nil {
		filter = fmt.Sprintf("%s=%s ", lead.Fields[q.Filter.Field].Name, q.Filter.Value)
	}
	return fmt.Sprintf("%sfrom %v to %v, limit %d, offset %d, after %s, before %s", filter, q.From, q.To, q.Limit, q.Offset, q.StartingAfter, q.EndingBefore)
}

// drawQuery draws a list with filter, range and cursor, or without.
func drawQuery(rt *rapid.T, m *model) lead.ListQuery {
	q := lead.ListQuery{Limit: rapid.SampledFrom([]int{1, 5, 100}).Draw(rt, "limit")}
	switch rapid.IntRange(0, 5).Draw(rt, "filter") {
	case 0, 1:
		q.Filter = &lead.Filter{Field: statusField, Value: rapid.SampledFrom([]string{"Lead", "Open", "", "none"}).Draw(rt, "status")}
	case 2:
		q.Filter = &lead.Filter{Field: ownerField, Value: rapid.SampledFrom([]string{"__user", "ann"}).Draw(rt, "owner")}
	case 3:
		q.Filter = &lead.Filter{Field: emailField, Value: rapid.SampledFrom([]string{"ANN@example.org", "bob@example.org"}).Draw(rt, "email")}
	}
	if len(m.leads) == 0 {
		return q
	}
	drawLead := func(label string) lead.Lead {
		return m.leads[rapid.IntRange(0, len(m.leads)-1).Draw(rt, label)]
	}
	drawTime := func(label string) time.Time {
		at := drawLead(label).CreatedAt
		at = at.Truncate(rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 10 * time.Minute, 24 * time.Hour}).Draw(rt, "to a whole"))
		return at.Add(time.Duration(rapid.IntRange(0, 2).Draw(rt, "seconds later")) * time.Second)
	}
	if rapid.IntRange(0, 2).Draw(rt, "with from") == 0 {
		q.From = drawTime("from")
	}
	if rapid.IntRange(0, 2).Draw(rt, "with to") == 0 {
		q.To = drawTime("to")
	}
	switch rapid.IntRange(0, 4).Draw(rt, "place") {
	case 0:
		q.StartingAfter = drawLead("starting after").ID
	case 1:
		q.EndingBefore = drawLead("ending before").ID
	case 2, 3:
		q.Offset = int64(rapid.IntRange(0, len(m.leads)+1).Draw(rt, "offset"))
	}
	return q
}
