package counter

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Audit compares the counters under a prefix with the things that are counted,
// and can repair them. Nothing that uses this package makes a difference between
// them. A manual change of the table can, or a backup that was restored in part.
//
// Things may be created and changed during an audit. What changes while it is
// counted is counted again, a few times.
type Audit struct {
	Prefix string
	Repair bool

	// NextDay returns the first day after one on which a thing was created, or
	// "" if there is none. A day is a text like 2026-03-01.
	NextDay func(ctx context.Context, after string) (string, error)

	// Count calls count for each series of each thing that was created from one
	// bound to before another, with the [Timestamp] of its creation.
	Count func(ctx context.Context, from, to string, count func(s Series, created string)) error

	// Write writes a change in a transaction.
	Write func(ctx context.Context, change func(at time.Time) *Change) error

	// Describe names the things of a series, for people.
	Describe func(Series) string

	// Found is called for each difference.
	Found func(Difference)

	// Sleep waits between two counts of the same.
	Sleep func(context.Context, time.Duration) error
}

// Difference is a number of things that the counters have wrong.
type Difference struct {
	Of             string // what is counted, for people
	Says, ShouldBe int64
}

// A difference counts after it was seen minLooks times, of at most maxLooks:
// others may write, and an index of the things may lag.
const (
	minLooks  = 3
	maxLooks  = 8
	lookPause = 2 * time.Second

	// cachePause is longer than a reader takes that writes a cache.
	cachePause = 10 * time.Second
)

// spanKey names what is counted: a series, and a span of creation. The sums of a
// stored snapshot also have its sort key.
type spanKey struct{ snapshot, series, span string }

type spanCounts map[spanKey]int64

// differences returns where two counts differ.
func differences(a, b spanCounts) (keys []spanKey) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for key := range all {
		if a[key] != b[key] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b spanKey) int {
		return cmp.Or(cmp.Compare(a.snapshot, b.snapshot), cmp.Compare(a.span, b.span), cmp.Compare(a.series, b.series))
	})
	return keys
}

// auditRun is an audit that is running.
type auditRun struct {
	Audit
	counters  *Counters
	corrected spanCounts // by how much x is too small, by day of creation
}

// Audit runs an audit. It compares the number of things in each bucket and window
// (c - x) with the things, day by day. Then it compares, for each day of creation,
// the number of things that left its windows (x) with those that were deducted
// (d), and totals and snapshots with the counter items that they sum up. A repair
// changes x and d alone, so that what is sealed stays so, and deletes totals and
// snapshots.
func (c *Counters) Audit(ctx context.Context, audit Audit) error {
	a := &auditRun{audit, c, spanCounts{}}
	for day := ""; ; {
		next, err := a.NextDay(ctx, day)
		if err != nil {
			return err
		}
		first, _, err := c.query(ctx, a.Prefix, countersKind, itemRange{after: endOf(day), through: lastItem, limit: 1})
		if err != nil {
			return err
		}
		if len(first) > 0 && (next == "" || dayOf(windowOfItem(first[0])) < next) {
			next = dayOf(windowOfItem(first[0]))
		}
		if day = next; day == "" {
			break
		}
		if err := a.auditDay(ctx, day); err != nil {
			return err
		}
	}
	deleted, err := a.auditSums(ctx)
	if deleted && err == nil {
		// A reader that began before may store the same snapshot again.
		if err = a.Sleep(ctx, cachePause); err == nil {
			_, err = a.auditSums(ctx)
		}
	}
	return err
}

// auditDay compares the number of things in each bucket and window of a day with
// the things.
func (a *auditRun) auditDay(ctx context.Context, day string) error {
	parts := []string{day} // spans to count: first the day, then the windows that differ
	look := func() (says, is spanCounts, err error) {
		says, is = spanCounts{}, spanCounts{}
		var again []string
		for _, part := range parts {
			before, err := a.countSpans(ctx, part)
			if err != nil {
				return nil, nil, err
			}
			err = a.Count(ctx, part, endOf(part), func(s Series, created string) {
				length := windowLength
				if s == All {
					length = bucketLength
				}
				is[spanKey{series: string(s), span: created[:length]}]++
			})
			if err != nil {
				return nil, nil, err
			}
			after, err := a.countSpans(ctx, part)
			if err != nil {
				return nil, nil, err
			}
			maps.Copy(says, after)
			for _, key := range differences(before, after) { // it changed while it was counted
				is[key] = says[key]
				again = append(again, key.span[:windowLength])
			}
		}
		for _, key := range differences(says, is) {
			again = append(again, key.span[:windowLength])
		}
		slices.Sort(again)
		parts = slices.Compact(again)
		return says, is, nil
	}
	return a.settle(ctx, look, func(key spanKey, says, is int64) error {
		a.corrected[spanKey{series: key.series, span: day}] += says - is
		what := "created in the ten minutes from " + key.span + "0"
		if key.series == "" {
			what = "created in the ten seconds from " + key.span + "0"
		}
		return a.repair(ctx, key, what, says, is, func(c *Change) {
			name := fineName(left, Series(key.series), key.span+"00:00")
			c.left[key.span[:windowLength]] = map[string]int64{name: says - is}
		})
	})
}

// countSpans returns what the counter items of a day or window say.
func (a *auditRun) countSpans(ctx context.Context, part string) (spanCounts, error) {
	says := spanCounts{}
	err := a.counters.eachCount(ctx, a.Prefix, itemRange{after: part, through: endOf(part)}, func(_ string, letter byte, s Series, span string, n int64) {
		switch letter {
		case created:
			says[spanKey{series: string(s), span: span}] += n
		case left:
			says[spanKey{series: string(s), span: span}] -= n
		}
	})
	return says, err
}

// auditSums compares what left the windows of a day with what was deducted, and
// totals and snapshots with the counter items. It reports whether it deleted a
// snapshot.
func (a *auditRun) auditSums(ctx context.Context) (deleted bool, err error) {
	stored := map[string]snapshot{} // by sort key
	look := func() (says, is spanCounts, err error) {
		says, is = spanCounts{}, spanCounts{}
		if !a.Repair { // x is not corrected
			maps.Copy(is, a.corrected)
		}
		all, err := a.counters.snapshots(ctx, a.Prefix)
		if err != nil {
			return nil, nil, err
		}
		for _, sn := range all {
			stored[sn.sortKey()] = sn
			for day, n := range sn.sums {
				says[spanKey{sn.sortKey(), string(sn.series), day}] = n
			}
		}
		err = a.counters.eachCount(ctx, a.Prefix, itemRange{through: lastItem}, func(window string, letter byte, s Series, span string, n int64) {
			key := spanKey{series: string(s), span: dayOf(span)}
			switch letter {
			case left:
				is[key] += n
				return
			case deducted:
				says[key] += n
				n = -n
			}
			for _, sn := range all {
				if sn.series == s && window <= sn.through {
					is[spanKey{sn.sortKey(), string(s), sn.keyOf(dayOf(span))}] += n
				}
			}
		})
		return says, is, err
	}
	err = a.settle(ctx, look, func(key spanKey, says, is int64) error {
		if key.snapshot == "" {
			return a.repair(ctx, key, "created on "+key.span+" and gone since", says, is, func(c *Change) {
				c.now[dayName(Series(key.series), key.span)] = is - says
			})
		}
		what := "created on " + key.span + ", in the snapshot"
		if key.span == "" {
			what = "in the total"
		}
		a.Found(Difference{a.Describe(Series(key.series)) + " " + what, says, is})
		if !a.Repair {
			return nil
		}
		deleted = true
		return a.counters.delete(ctx, stored[key.snapshot].item(a.Prefix))
	})
	return deleted, err
}

// settle calls look until each difference is gone or was seen the same minLooks
// times, and then found for each of the latter.
func (a *auditRun) settle(ctx context.Context, look func() (says, is spanCounts, err error), found func(key spanKey, says, is int64) error) error {
	seen, last := map[spanKey]int{}, map[spanKey][2]int64{}
	for looks := 1; ; looks++ {
		says, is, err := look()
		if err != nil {
			return err
		}
		wrong := differences(says, is)
		isOpen := false
		for _, key := range wrong {
			if numbers := [2]int64{says[key], is[key]}; last[key] != numbers {
				last[key], seen[key] = numbers, 0
			}
			seen[key]++
			isOpen = isOpen || seen[key] < minLooks
		}
		if isOpen && looks < maxLooks {
			if err := a.Sleep(ctx, lookPause); err != nil {
				return err
			}
			continue
		}
		for _, key := range wrong {
			if seen[key] < minLooks {
				continue
			}
			if err := found(key, says[key], is[key]); err != nil {
				return err
			}
		}
		return nil
	}
}

// repair reports a difference and makes the change that repairs it.
func (a *auditRun) repair(ctx context.Context, key spanKey, what string, says, is int64, edit func(*Change)) error {
	a.Found(Difference{a.Describe(Series(key.series)) + " " + what, says, is})
	if !a.Repair {
		return nil
	}
	return a.Write(ctx, func(at time.Time) *Change {
		change := NewChange(at)
		edit(change)
		return change
	})
}
