package counter

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"
)

// Audit compares the counters under a prefix with the things that are counted,
// and can repair them. Nothing that uses this package makes a difference between
// them. A manual change of the table can, or a backup that was restored in part.
//
// Things may be created and changed during an audit. What keeps changing while it
// is counted is left to the next audit.
type Audit struct {
	Prefix string
	Repair bool

	// Things returns the things that were created from one bound to before
	// another, the oldest first.
	Things func(ctx context.Context, from, to string) iter.Seq2[Thing, error]

	// Write writes a change in a transaction.
	Write func(ctx context.Context, change func(at time.Time) *Change) error

	// Describe names the things of a series, for people.
	Describe func(Series) string

	// Found is called for each difference.
	Found func(Difference)

	// Sleep waits between two counts of the same.
	Sleep func(context.Context, time.Duration) error
}

// Thing is a thing that is counted.
type Thing struct {
	Created string // the [Timestamp] of its creation
	Series  []Series
}

// Difference is a number of things that the counters have wrong.
type Difference struct {
	Of             string // what is counted, for people
	Says, ShouldBe int64
}

// A difference counts if it has the same numbers minLooks times in a row, of at
// most maxLooks: others may write, and an index of the things may lag.
const (
	minLooks  = 3
	maxLooks  = 8
	lookPause = 2 * time.Second
)

// countKey names a count: of a series, in a span of creation. Those of a stored
// snapshot also have its sort key.
type countKey struct{ snapshot, span, series string }

// comparison has what the counters say, and what they should say.
type comparison map[countKey]saysAndIs

type saysAndIs struct{ says, is int64 }

func (c comparison) add(key countKey, says, is int64) {
	c[key] = saysAndIs{c[key].says + says, c[key].is + is}
}

func (c comparison) deleteEqual() {
	maps.DeleteFunc(c, func(_ countKey, n saysAndIs) bool { return n.says == n.is })
}

// auditRun is an audit that is running.
type auditRun struct {
	Audit
	counters *Counters
	things   map[string]int64 // by day of creation
}

// Audit runs an audit and returns the number of things. A repair changes x and d
// alone, so that what is sealed stays so, and deletes totals and snapshots.
func (c *Counters) Audit(ctx context.Context, audit Audit) (things int64, err error) {
	a := &auditRun{audit, c, map[string]int64{}}
	days, err := a.days(ctx)
	if err != nil {
		return 0, err
	}
	spans, err := a.compare(ctx, func() (comparison, error) {
		wrong, wrongDays := comparison{}, []string{}
		for _, day := range days {
			spans, err := a.compareSpans(ctx, day)
			if err != nil {
				return nil, err
			}
			if len(spans) > 0 {
				maps.Copy(wrong, spans)
				wrongDays = append(wrongDays, day)
			}
		}
		days = wrongDays
		return wrong, nil
	})
	if err != nil {
		return 0, err
	}
	sums, err := a.compare(ctx, func() (comparison, error) { return a.compareSums(ctx, spans) })
	if err != nil {
		return 0, err
	}
	for _, n := range a.things {
		things += n
	}
	maps.Copy(sums, spans)
	return things, a.finish(ctx, sums)
}

// compare calls count until each difference is gone or was seen minLooks times in
// a row, and returns the latter.
func (a *auditRun) compare(ctx context.Context, count func() (comparison, error)) (wrong comparison, err error) {
	seen := map[countKey]int{}
	for looks := 1; ; looks++ {
		again, err := count()
		if err != nil {
			return nil, err
		}
		isOpen := false
		for key, n := range again {
			if wrong[key] != n {
				seen[key] = 0
			}
			seen[key]++
			isOpen = isOpen || seen[key] < minLooks
		}
		if wrong = again; !isOpen || looks == maxLooks {
			maps.DeleteFunc(wrong, func(key countKey, _ saysAndIs) bool { return seen[key] < minLooks })
			return wrong, nil
		}
		if err := a.Sleep(ctx, lookPause); err != nil {
			return nil, err
		}
	}
}

// days returns all days since the first thing or counter item.
func (a *auditRun) days(ctx context.Context) (days []string, err error) {
	day := dayOf(Timestamp(a.counters.clock.Now()))
	last := nextDay(day)
	items, _, err := a.counters.query(ctx, a.Prefix, countersKind, itemRange{through: lastItem, limit: 1})
	if err != nil {
		return nil, err
	}
	if len(items) > 0 {
		day = min(day, dayOf(windowOfItem(items[0])))
	}
	for thing, err := range a.Things(ctx, "", lastItem) {
		if err != nil {
			return nil, err
		}
		day = min(day, dayOf(thing.Created))
		break
	}
	for ; day <= last; day = nextDay(day) {
		days = append(days, day)
	}
	return days, nil
}

// compareSpans compares the numbers in the buckets and windows of a day (c - x)
// with the things, and returns the differences.
func (a *auditRun) compareSpans(ctx context.Context, day string) (comparison, error) {
	spans := comparison{}
	err := a.eachCount(ctx, itemRange{after: day, through: endOf(day)}, func(_ string, letter byte, s Series, span string, n int64) {
		switch letter {
		case created:
			spans.add(countKey{span: span, series: string(s)}, n, 0)
		case left:
			spans.add(countKey{span: span, series: string(s)}, -n, 0)
		}
	})
	if err != nil {
		return nil, err
	}
	a.things[day] = 0
	for thing, err := range a.Things(ctx, day, endOf(day)) {
		if err != nil {
			return nil, err
		}
		a.things[day]++
		for _, s := range thing.Series {
			length := windowLength
			if s == All {
				length = bucketLength
			}
			spans.add(countKey{span: thing.Created[:length], series: string(s)}, 0, 1)
		}
	}
	spans.deleteEqual()
	return spans, nil
}

// compareSums compares the numbers that were deducted from days (d) with those that
// left their windows (x) as soon as the spans are right, and totals and snapshots
// with the counter items. It returns the differences.
func (a *auditRun) compareSums(ctx context.Context, spans comparison) (sums comparison, err error) {
	stored, err := a.counters.snapshots(ctx, a.Prefix)
	if err != nil {
		return nil, err
	}
	sums = comparison{}
	for key, n := range spans {
		sums.add(countKey{span: dayOf(key.span), series: key.series}, 0, n.says-n.is)
	}
	for _, sn := range stored {
		for day, n := range sn.sums {
			sums.add(countKey{sn.sortKey(), day, string(sn.series)}, n, 0)
		}
	}
	err = a.eachCount(ctx, itemRange{through: lastItem}, func(window string, letter byte, s Series, span string, n int64) {
		key := countKey{span: dayOf(span), series: string(s)}
		switch letter {
		case left:
			sums.add(key, 0, n)
			return
		case deducted:
			sums.add(key, n, 0)
			n = -n
		}
		for _, sn := range stored {
			if sn.series == s && window <= sn.through {
				sums.add(countKey{sn.sortKey(), sn.keyOf(dayOf(span)), string(s)}, 0, n)
			}
		}
	})
	sums.deleteEqual()
	return sums, err
}

// eachCount calls f for each count in the counter items of a range, with the
// window that it was made in.
func (a *auditRun) eachCount(ctx context.Context, r itemRange, f func(window string, letter byte, s Series, span string, n int64)) error {
	return a.counters.eachPage(ctx, a.Prefix, countersKind, r, func(page []item, _ bool) error {
		for _, it := range page {
			eachOfAll(it, func(letter byte, s Series, span string, n int64) { f(windowOfItem(it), letter, s, span, n) })
		}
		return nil
	})
}

// finish reports the differences, and repairs them.
func (a *auditRun) finish(ctx context.Context, wrong comparison) error {
	for _, key := range slices.SortedFunc(maps.Keys(wrong), func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.snapshot, b.snapshot), cmp.Compare(a.span, b.span), cmp.Compare(a.series, b.series))
	}) {
		n, s := wrong[key], Series(key.series)
		a.Found(Difference{a.Describe(s) + " " + key.describe(), n.says, n.is})
		if !a.Repair {
			continue
		}
		var err error
		if key.snapshot != "" {
			cache := snapshot{series: s, isTotal: key.snapshot == totalKey}
			err = a.counters.delete(ctx, cache.item(a.Prefix))
		} else {
			err = a.Write(ctx, func(at time.Time) *Change { return adjust(at, key, n) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (key countKey) describe() string {
	switch {
	case key.snapshot == totalKey:
		return "in the total"
	case key.snapshot != "":
		return "created on " + key.span + ", in the snapshot"
	case len(key.span) == dayLength:
		return "created on " + key.span + " and gone since"
	case key.series == "":
		return "created in the ten seconds from " + key.span + "0"
	}
	return "created in the ten minutes from " + key.span + "0"
}

// adjust returns the change that makes a count right.
func adjust(at time.Time, key countKey, n saysAndIs) *Change {
	change := NewChange(at)
	if len(key.span) == dayLength {
		change.now[dayName(Series(key.series), key.span)] = n.is - n.says
	} else {
		name := fineName(left, Series(key.series), key.span+"00:00")
		change.left[key.span[:windowLength]] = map[string]int64{name: n.says - n.is}
	}
	return change
}
