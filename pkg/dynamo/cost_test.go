package dynamo_test

import (
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var acme = lead.Tenant{Account: "acme", Mode: lead.Test}

// cost is what a call may cost at most.
type cost struct {
	requests    int
	read, write float64 // capacity units
}

// expect fails the test where the call costs more.
func (most cost) expect(t *testing.T, meter *dynamotest.Meter, what string, call func() error) {
	t.Helper()
	meter.Reset()
	if err := call(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	requests, read, write := meter.Cost()
	t.Logf("%s: %d requests, %.1f read, %.1f write", what, requests, read, write)
	if requests > most.requests || read > most.read || write > most.write {
		t.Errorf("%s cost %d requests, %.1f read and %.1f write units; want at most %+v: %v",
			what, requests, read, write, most, meter.Requests())
	}
}

// page returns the call of List, which must find this page.
func page(t *testing.T, table *dynamo.Table, tenant lead.Tenant, offset int64, leads int, total int64) func() error {
	return func() error {
		got, n, err := table.ListAt(t.Context(), tenant, 20, offset)
		if err == nil && (len(got) != leads || n != total) {
			err = fmt.Errorf("%d leads of %d, want %d of %d", len(got), n, leads, total)
		}
		return err
	}
}

// sized returns values that make an item of a lead of about so many bytes.
func sized(bytes int) lead.Values {
	v := lead.Defaults()
	for i, f := range lead.Fields {
		if n := min(bytes, f.Max); f.Kind == lead.Text && n > 0 {
			v[i] = strings.Repeat("x", n)
			bytes -= n + len(f.Column)
		}
	}
	return v
}

func newTable(t *testing.T, now time.Time) (*dynamo.Table, *dynamotest.Meter, *time.Time) {
	t.Helper()
	process, meter, clock := newProcesses(t, now)
	return process(), meter, clock
}

// newProcesses returns a function that returns a table of a new process. All
// share a database and a clock, and have no filters.
func newProcesses(t *testing.T, now time.Time) (process func() *dynamo.Table, meter *dynamotest.Meter, clock *time.Time) {
	t.Helper()
	client, meter := dynamotest.Start(t)
	meter.Now = func() time.Time { return now }
	return func() *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now = func() time.Time { return now }
		table.Filters = nil
		table.WarmUp(t.Context()) // as each function does
		return table
	}, meter, &now
}

func TestCreateAndDeleteCosts(t *testing.T) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for _, test := range []struct {
		size        int
		write, gone float64
	}{
		{850, 5, 9}, {1800, 7, 11},
	} {
		for _, later := range []time.Duration{0, time.Second, time.Hour, 400 * 24 * time.Hour} {
			var made lead.Lead
			cost{1, 0, test.write}.expect(t, meter, fmt.Sprintf("create %d bytes", test.size), func() (err error) {
				made, _, err = table.Create(t.Context(), acme, sized(test.size), lead.IdempotencyKey{})
				return err
			})
			*now = now.Add(later)
			most := cost{1, 0, test.gone}
			if test.size < 1024 && later > time.Minute {
				most.write = 11
			}
			most.expect(t, meter, fmt.Sprintf("delete %d bytes after %v", test.size, later), func() error {
				return table.Delete(t.Context(), acme, made.ID, lead.Precondition{})
			})
		}
	}
}

// TestCreateCostsTheSameAllPeriodLong creates and deletes for ten minutes, with
// a new process every minute: no counter item may outgrow 1 KB.
func TestCreateCostsTheSameAllPeriodLong(t *testing.T) {
	process, meter, now := newProcesses(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for range 10 {
		table := process()
		for range 30 {
			*now = now.Add(2 * time.Second)
			meter.Reset()
			made, _, err := table.Create(t.Context(), acme, sized(800), lead.IdempotencyKey{})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, write := meter.Cost(); write > 5 {
				t.Fatalf("at %v a create costs %.1f units", *now, write)
			}
			meter.Reset()
			if err := table.Delete(t.Context(), acme, made.ID, lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
			if _, _, write := meter.Cost(); write > 9 {
				t.Fatalf("at %v a delete costs %.1f units", *now, write)
			}
		}
	}
}

func TestFirstListCost(t *testing.T) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	if err := table.CreateKey(t.Context(), apikey.Key{ID: "k1", Tenant: acme}); err != nil {
		t.Fatal(err)
	}
	cost{2, 1.5, 0}.expect(t, meter, "a list of nothing", page(t, table, acme, 0, 0, 0))
	for range 30 {
		*now = now.Add(time.Second)
		if _, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
	}
	cost{3, 22, 0}.expect(t, meter, "the first list", page(t, table, acme, 0, 20, 30))
}

// TestListCostOfAQuietTenant lists once an hour, for two days, while a few leads
// come in.
func TestListCostOfAQuietTenant(t *testing.T) {
	for _, who := range []string{"one process", "a new process each time"} {
		t.Run("by "+who, func(t *testing.T) {
			process, meter, now := newProcesses(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			table, moved := process(), 0
			for hour := range 48 {
				if hour%3 == 0 {
					if _, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
						t.Fatal(err)
					}
				}
				*now = now.Add(time.Hour)
				leads := hour/3 + 1
				lister := table
				if who != "one process" {
					lister = process()
				}
				cost{4, 22, 1}.expect(t, meter, fmt.Sprint("after hour ", hour), page(t, lister, acme, 0, leads, int64(leads)))
				if requests, _, _ := meter.Cost(); requests == 4 {
					moved++
				}
			}
			if moved > 4 {
				t.Errorf("the total was brought forward %d times in two days, want at most 4", moved)
			}
		})
	}
}

func TestListCostAfterABurst(t *testing.T) {
	for _, writers := range []int{1, 8, 32} {
		t.Run(fmt.Sprintf("of %d writers", writers), func(t *testing.T) {
			table, meter := dynamotest.New(t)
			table.Filters = nil
			if err := table.CreateKey(t.Context(), apikey.Key{ID: "k1", Tenant: acme}); err != nil {
				t.Fatal(err)
			}
			const leads = 1600
			var work sync.WaitGroup
			for range writers {
				work.Go(func() {
					for range leads / writers {
						if _, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			work.Wait()
			cost{3, 22, 0}.expect(t, meter, "offset 0", page(t, table, acme, 0, 20, leads))
			offsets := []int64{20, 100, 101, leads / 2, leads - 40}
			for _, offset := range offsets {
				cost{8, 50, 2}.expect(t, meter, fmt.Sprint("offset ", offset), page(t, table, acme, offset, 20, leads))
			}
			newest, _, err := table.ListAt(t.Context(), acme, 20, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range newest {
				if err := table.Delete(t.Context(), acme, l.ID, lead.Precondition{}); err != nil {
					t.Fatal(err)
				}
			}
			for _, offset := range offsets {
				cost{8, 50, 0}.expect(t, meter, fmt.Sprint("after deletes, offset ", offset), page(t, table, acme, offset, 20, leads-20))
			}
		})
	}
}

// TestListCostInSteadyWriting has writers create a lead every two seconds, each in
// a shard of its own, which is the most that they can add to the counter items.
func TestListCostInSteadyWriting(t *testing.T) {
	for _, test := range []struct{ writers, minutes int }{{1, 60}, {2, 30}, {16, 2}, {32, 1}} {
		t.Run(fmt.Sprintf("of %d writers for %d minutes", test.writers, test.minutes), func(t *testing.T) {
			table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			if err := table.CreateKey(t.Context(), apikey.Key{ID: "k1", Tenant: acme}); err != nil {
				t.Fatal(err)
			}
			leads, moved := int64(0), 0
			for i := range test.minutes * 30 {
				if _, err := table.CreateTogether(t.Context(), acme, lead.Defaults(), test.writers); err != nil {
					t.Fatal(err)
				}
				leads += int64(test.writers)
				*now = now.Add(2 * time.Second)
				if i%30 == 29 {
					cost{4, 22, 1}.expect(t, meter, fmt.Sprint("after minute ", i/30), page(t, table, acme, 0, 20, leads))
					if requests, _, _ := meter.Cost(); requests == 4 {
						moved++
					}
				}
			}
			if moved > test.minutes/8 {
				t.Errorf("the total was brought forward %d times in %d minutes", moved, test.minutes)
			}
		})
	}
}

// evenly returns n times from start on, this far apart.
func evenly(start time.Time, apart time.Duration, n int) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for i := range n {
			if !yield(start.Add(time.Duration(i) * apart)) {
				return
			}
		}
	}
}

// TestListCostInTenMillionLeads lists at offsets in ten million leads of five
// years. There are the total, the snapshot, and the leads and counter items of the
// days that are looked at; there need be no others.
func TestListCostInTenMillionLeads(t *testing.T) {
	const (
		days  = 1826 // and half a day
		total = 10_000_000
		daily = 2 * total / (2*days + 1)
		apart = 24 * time.Hour / daily
		today = daily / 2
		rest  = total - days*daily - today // made on the first day
	)
	first := time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 0, days)
	table, meter, now := newTable(t, last.Add(today*apart))
	counts := map[string]int64{}
	for d := range days {
		counts[first.AddDate(0, 0, d).Format(time.DateOnly)] = daily
	}
	counts[first.Format(time.DateOnly)] += rest
	if err := table.SeedHistory(t.Context(), acme, lead.Defaults(), counts); err != nil {
		t.Fatal(err)
	}
	// seed makes the counter items of a day, and of each 1,000 of its leads the newest 200,
	// and the last page.
	seed := func(day time.Time, leads int) {
		t.Helper()
		times := evenly(day, apart, leads)
		if err := table.SeedCounters(t.Context(), acme, lead.Defaults(), times); err != nil {
			t.Fatal(err)
		}
		some := func(yield func(time.Time) bool) {
			i := leads
			for at := range times {
				if i--; (i%1000 < 200 || i >= leads-20) && !yield(at) {
					return
				}
			}
		}
		if err := table.SeedLeads(t.Context(), acme, lead.Defaults(), some, nil); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(most cost, offset int64, want time.Time) {
		t.Helper()
		most.expect(t, meter, fmt.Sprint("offset ", offset), func() error {
			leads, n, err := table.ListAt(t.Context(), acme, 20, offset)
			if err == nil && (n != total || len(leads) != 20 || !leads[0].CreatedAt.Equal(want)) {
				err = fmt.Errorf("%d leads of %d, the first of %v, want %v", len(leads), n, leads[0].CreatedAt, want)
			}
			return err
		})
	}

	seed(last, today)
	// The first list brings the total forward, and the first deep one the
	// snapshot.
	expect(cost{5, 30, 1}, 0, now.Add(-apart))
	expect(cost{3, 22, 0}, 0, now.Add(-apart))
	expect(cost{7, 50, 10}, 150, now.Add(-151*apart))
	for _, back := range []int{1, 183, days / 2, days - 1} { // days
		day := last.AddDate(0, 0, -back)
		seed(day, daily)
		offset := int64(today + (back-1)*daily)
		for _, within := range []int64{0, 20, 2000, 5000, daily - 20} {
			expect(cost{8, 50, 0}, offset+within, day.Add(apart*time.Duration(daily-1-within)))
		}
	}
}

// TestListCostInABurst lists within ten seconds of a thousand creates each, as
// many as one partition of the index takes. While they are new, the rows of
// the bucket that is looked into are read from its nearer end, which takes up to
// 106 units.
func TestListCostInABurst(t *testing.T) {
	const leads = 10_000
	tenant := lead.Tenant{Account: strings.Repeat("a", 32), Mode: lead.Test} // rows as long as can be
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	table, meter, now := newTable(t, start.Add(time.Minute))
	if err := table.CreateKey(t.Context(), apikey.Key{ID: "k1", Tenant: tenant}); err != nil {
		t.Fatal(err)
	}
	if err := table.Seed(t.Context(), tenant, lead.Defaults(), evenly(start, time.Millisecond, leads), func(int) {}); err != nil {
		t.Fatal(err)
	}
	offsets := []int64{0, 999, 1100, 1999, 2000, 3999, leads / 2, 7999, leads - 20}
	for _, offset := range offsets {
		cost{8, 23 + 106, 2}.expect(t, meter, fmt.Sprint("offset ", offset), page(t, table, tenant, offset, 20, leads))
	}
	*now = now.Add(24 * time.Hour)
	cost{8, 23 + 106, 2}.expect(t, meter, "the first list a day later", page(t, table, tenant, leads/2, 20, leads))
	for _, offset := range offsets {
		cost{8, 23 + 106, 0}.expect(t, meter, fmt.Sprint("a day later, offset ", offset), page(t, table, tenant, offset, 20, leads))
	}
}

// TestListCostAfterAPause has nobody list for two days, in which leads are
// created and deleted all the time, and then a process that has not listed yet.
func TestListCostAfterAPause(t *testing.T) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	var made []lead.ID
	for range 400 {
		l, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		if made = append(made, l.ID); len(made)%4 == 0 {
			if err := table.Delete(t.Context(), acme, made[len(made)/2], lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}
		*now = now.Add(7 * time.Minute)
	}
	// The first brings the snapshot and the total forward.
	for _, call := range []string{"the first", "the second", "the third"} {
		cost{8, 50, 2}.expect(t, meter, call, page(t, table, acme, 150, 20, 300))
	}
	cost{6, 35, 0}.expect(t, meter, "the fourth", page(t, table, acme, 150, 20, 300))
}

// TestOrdinaryLeadFitsIn1KB creates a lead with all fields set, to values of 15
// characters and no default, in an account with the longest name.
func TestOrdinaryLeadFitsIn1KB(t *testing.T) {
	table, meter, _ := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	tenant := lead.Tenant{Account: strings.Repeat("a", 32), Mode: lead.Live}
	var values lead.Values
	for i, f := range lead.Fields {
		switch f.Kind {
		case lead.Text, lead.Email:
			values[i] = "fifteen letters"
		case lead.Boolean:
			values[i] = true
		case lead.Decimal:
			values[i] = lead.Number("123456789012.345")
		}
	}
	var made lead.Lead
	cost{1, 0, 5}.expect(t, meter, "create", func() (err error) {
		made, _, err = table.Create(t.Context(), tenant, values, lead.IdempotencyKey{})
		return err
	})
	for range 8 {
		cost{1, 0, 1}.expect(t, meter, "update", func() error {
			_, err := table.Update(t.Context(), tenant, made.ID, []lead.Change{{Field: 0, Value: "fourteen, then"}}, lead.Precondition{})
			return err
		})
	}
}
