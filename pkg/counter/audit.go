package counter

import (
	"cmp"
	"context"
	"fmt"
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

const (
	// A difference counts after it was seen minLooks times, of at most maxLooks:
	// others may write, and an index of the things may lag.
	minLooks  = 3
	maxLooks  = 8
	lookPause = 2 * time.Second

	// cachePause is longer than a reader takes that writes a cache.
	cachePause = 10 * time.Second
)

// spanKey names what is counted: a series, and a span of creation.
type spanKey struct {
	series Series
	span   string
}

type spanCounts map[spanKey]int64

// differences returns where the counts differ, as a - b.
func differences(a, b spanCounts) spanCounts {
	d := maps.Clone(a)
	for key, n := range b {
		d[key] -= n
	}
	maps.DeleteFunc(d, func(_ spanKey, n int64) bool { return n == 0 })
	return d
}

func (d spanCounts) sorted() []spanKey {
	return slices.SortedFunc(maps.Keys(d), func(a, b spanKey) int {
		return cmp.Or(cmp.Compare(a.span, b.span), cmp.Compare(a.series, b.series))
	})
}

// Audit runs an audit. It compares, in this order: the number of things in each
// bucket and window (c - x) with the things; for each day of creation the number
// of things that left its windows (x) with those that were deducted (d); and the
// totals, snapshots and rollups with the counter items that they sum up. A repair
// changes x and d alone, so that what is sealed stays so, and deletes caches.
func (c *Counters) Audit(ctx context.Context, audit Audit) error {
	a := &auditRun{Audit: audit, counters: c, corrected: spanCounts{}}
	if c.clock.sealed() == "" {
		if _, err := c.get(ctx, a.Prefix, countersKind, totalKey); err != nil {
			return err
		}
	}
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
	if err := a.auditLeft(ctx); err != nil {
		return err
	}
	return a.auditCaches(ctx)
}

// auditRun is an audit that is running.
type auditRun struct {
	Audit
	counters  *Counters
	corrected spanCounts // by how much x is too small, by day of creation
}

// auditDay compares the number of things in each bucket and window of a day with
// the things.
func (a *auditRun) auditDay(ctx context.Context, day string) error {
	parts := []string{day} // the spans of time to count: first the day, then the windows that differ
	look := func() (says, is spanCounts, err error) {
		says, is = spanCounts{}, spanCounts{}
		for _, part := range parts {
			before, err := a.counters.countSpans(ctx, a.Prefix, part)
			if err != nil {
				return nil, nil, err
			}
			things := spanCounts{}
			err = a.Count(ctx, part, endOf(part), func(s Series, created string) {
				length := windowLength
				if s == All {
					length = bucketLength
				}
				things[spanKey{s, created[:length]}]++
			})
			if err != nil {
				return nil, nil, err
			}
			after, err := a.counters.countSpans(ctx, a.Prefix, part)
			if err != nil {
				return nil, nil, err
			}
			maps.Copy(says, after)
			maps.Copy(is, things)
			for key := range differences(before, after) { // it changed while it was counted
				delete(says, key)
				delete(is, key)
			}
		}
		windows := map[string]bool{}
		for key := range differences(says, is) {
			windows[key.span[:windowLength]] = true
		}
		parts = slices.Sorted(maps.Keys(windows))
		return says, is, nil
	}
	return a.settle(ctx, look, func(key spanKey, says, is int64) error {
		a.corrected[spanKey{key.series, day}] += says - is
		what := "ten minutes from " + key.span + "0"
		if len(key.span) == bucketLength {
			what = "ten seconds from " + key.span + "0"
		}
		return a.repair(ctx, Difference{a.Describe(key.series) + " created in the " + what, says, is}, func(change *Change) {
			text := key.span + "2006-01-01T00:00:00"[len(key.span):]
			window := key.span[:windowLength]
			if change.left[window] == nil {
				change.left[window] = map[string]int64{}
			}
			change.left[window][fineName(left, key.series, text)] += says - is
		})
	})
}

// countSpans returns what the counter items of a day or window say.
func (c *Counters) countSpans(ctx context.Context, prefix, part string) (spanCounts, error) {
	items, _, err := c.query(ctx, prefix, countersKind, itemRange{after: part, through: endOf(part)})
	says := spanCounts{}
	for _, it := range items {
		eachOfAll(it, func(letter byte, s Series, span string, n int64) {
			switch letter {
			case created:
				says[spanKey{s, span}] += n
			case left:
				says[spanKey{s, span}] -= n
			}
		})
	}
	return says, err
}

// auditLeft compares, for each day of creation, what left its windows with what
// was deducted of it.
func (a *auditRun) auditLeft(ctx context.Context) error {
	look := func() (says, is spanCounts, err error) {
		says, is = spanCounts{}, spanCounts{}
		if !a.Repair { // the audit has not changed x
			maps.Copy(is, a.corrected)
		}
		err = a.counters.eachItem(ctx, a.Prefix, func(it item) {
			eachOfAll(it, func(letter byte, s Series, span string, n int64) {
				switch letter {
				case left:
					is[spanKey{s, dayOf(span)}] += n
				case deducted:
					says[spanKey{s, span}] += n
				}
			})
		})
		return says, is, err
	}
	return a.settle(ctx, look, func(key spanKey, says, is int64) error {
		return a.repair(ctx, Difference{a.Describe(key.series) + " created on " + key.span + " and gone since", says, is}, func(change *Change) {
			change.now[dayName(key.series, key.span)] += is - says
		})
	})
}

// settle calls look until there is no difference left that was not seen the same
// minLooks times, and then found for each that was.
func (a *auditRun) settle(ctx context.Context, look func() (says, is spanCounts, err error), found func(key spanKey, says, is int64) error) error {
	seen := map[spanKey]int{}
	last := map[spanKey][2]int64{}
	for looks := 1; ; looks++ {
		says, is, err := look()
		if err != nil {
			return err
		}
		d := differences(says, is)
		open := false
		for key := range d {
			if numbers := [2]int64{says[key], is[key]}; last[key] == numbers {
				seen[key]++
			} else {
				last[key], seen[key] = numbers, 1
			}
			open = open || seen[key] < minLooks
		}
		if open && looks < maxLooks {
			if err := a.Sleep(ctx, lookPause); err != nil {
				return err
			}
			continue
		}
		for _, key := range d.sorted() {
			if seen[key] >= minLooks {
				if err := found(key, says[key], is[key]); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// repair reports a difference and makes the change that repairs it.
func (a *auditRun) repair(ctx context.Context, d Difference, edit func(*Change)) error {
	a.Found(d)
	if !a.Repair {
		return nil
	}
	return a.Write(ctx, func(at time.Time) *Change {
		change := NewChange(at)
		edit(change)
		return change
	})
}

// auditCaches compares totals, snapshots and rollups with the counter items, and
// deletes those that differ. A reader that began before a repair may write the
// same again, so a repair is followed by another look.
func (a *auditRun) auditCaches(ctx context.Context) error {
	for looks := 1; ; looks++ {
		wrong, err := a.wrongCaches(ctx)
		if err != nil || len(wrong) == 0 {
			return err
		}
		if looks == minLooks {
			return fmt.Errorf("the totals of %s were wrong again after they were repaired: audit again", a.Prefix)
		}
		for _, cache := range wrong {
			if looks == 1 {
				a.Found(cache.Difference)
			}
			if a.Repair {
				if err := a.counters.delete(ctx, cache.item); err != nil {
					return err
				}
			}
		}
		if !a.Repair {
			return nil
		}
		if err := a.Sleep(ctx, cachePause); err != nil {
			return err
		}
	}
}

type wrongCache struct {
	Difference
	item item
}

// wrongCaches returns the caches that differ from the counter items.
func (a *auditRun) wrongCaches(ctx context.Context) (wrong []wrongCache, err error) {
	c := a.counters
	total, err := c.get(ctx, a.Prefix, countersKind, totalKey)
	if err != nil {
		return nil, err
	}
	snapshots, _, err := c.query(ctx, a.Prefix, snapshotKind, itemRange{through: endOf("s")})
	if err != nil {
		return nil, err
	}
	rollups, _, err := c.query(ctx, a.Prefix, rollupKind, itemRange{through: lastItem})
	if err != nil {
		return nil, err
	}
	sum := int64(0)
	days := map[Series]counts{}
	through := map[Series]string{}
	for _, it := range snapshots {
		s := Series(stringOf(it[attrSK])[1:])
		days[s], through[s] = counts{}, stringOf(it[attrThrough])
	}
	rolled := map[string]item{}
	for _, it := range rollups {
		rolled[stringOf(it[attrSK])] = item{}
	}
	err = c.eachItem(ctx, a.Prefix, func(it item) {
		window := windowOfItem(it)
		if window <= stringOf(total[attrThrough]) {
			all := counts{}
			all.addDays(it, All)
			sum += all.sum()
		}
		for s := range days {
			if window <= through[s] {
				days[s].addDays(it, s)
			}
		}
		if rollup := rolled[dayOf(window)]; rollup != nil {
			addToRollup(rollup, it)
		}
	})
	if err != nil {
		return nil, err
	}
	if says := numberOf(total[attrTotal]); says != sum {
		wrong = append(wrong, wrongCache{Difference{"the total through " + stringOf(total[attrThrough]) + "0", says, sum}, total})
	}
	for _, it := range snapshots {
		s := Series(stringOf(it[attrSK])[1:])
		says := snapshotOf(it).days
		for _, day := range slices.Sorted(maps.Keys(says.plus(days[s]))) {
			if says[day] != days[s][day] {
				wrong = append(wrong, wrongCache{Difference{a.Describe(s) + " in the snapshot, created on " + day, says[day], days[s][day]}, it})
			}
		}
	}
	for _, it := range rollups {
		day := stringOf(it[attrSK])
		says, is := rollupSum(it), rollupSum(rolled[day])
		if !maps.Equal(says, is) {
			wrong = append(wrong, wrongCache{Difference{"the rollup of " + day, counts(says).sum(), counts(is).sum()}, it})
		}
	}
	return wrong, nil
}

// rollupSum returns the counts of a rollup that are not 0, by name.
func rollupSum(it item) map[string]int64 {
	sum := map[string]int64{}
	for name, value := range it {
		if letter, _, _, ok := spanOf("2006-01-02", name); ok && letter != left && numberOf(value) != 0 {
			sum[name] = numberOf(value)
		}
	}
	return sum
}
