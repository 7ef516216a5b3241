package counter

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Audit compares the counters under a prefix with the things that are counted,
// and can repair them. Programs that use this package keep them equal. A manual
// change of the table can make them differ, or a backup that was restored in
// part.
//
// Things may be created and changed during an audit. Numbers that keep changing
// while they are counted are left to the next audit.
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

	// Sleep waits before the same things are counted again.
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

// A number is wrong if it differs by as much minLooks times in a row, of at most
// maxLooks: others may write, and an index of the things may lag.
const (
	minLooks  = 3
	maxLooks  = 8
	lookPause = 2 * time.Second
)

// countKey names a number of things that were created in a span: a bucket, a
// window or a day, as the counter items have it, or what a stored snapshot has.
type countKey struct {
	cache, span string // cache is the sort key of the snapshot, or ""
	series      Series
}

type saysAndIs struct{ says, is int64 }

// comparison has what the counters say, and what they should say.
type comparison map[countKey]saysAndIs

func (c comparison) add(cache, span string, s Series, says, is int64) {
	key := countKey{cache, span, s}
	c[key] = saysAndIs{c[key].says + says, c[key].is + is}
}

func (c comparison) deleteEqual() {
	maps.DeleteFunc(c, func(_ countKey, n saysAndIs) bool { return n.says == n.is })
}

// Audit runs an audit and returns the number of things. A repair writes only
// counts x and d, which does not change what is sealed, and deletes totals and
// snapshots.
func (c *Counters) Audit(ctx context.Context, a Audit) (things int64, err error) {
	thingsOf := map[string]int64{} // by day
	var wrong comparison
	for seen, looks := map[countKey]int{}, 1; ; looks++ {
		again, err := c.compare(ctx, a, wrong, thingsOf)
		if err != nil {
			return 0, err
		}
		isSure := true
		for key, n := range again {
			if before := wrong[key]; n.says-n.is != before.says-before.is {
				seen[key] = 0
			}
			seen[key]++
			isSure = isSure && seen[key] >= minLooks
		}
		if wrong = again; isSure || looks == maxLooks {
			maps.DeleteFunc(wrong, func(key countKey, _ saysAndIs) bool { return seen[key] < minLooks })
			break
		}
		if err := a.Sleep(ctx, lookPause); err != nil {
			return 0, err
		}
	}
	for _, n := range thingsOf {
		things += n
	}
	for key, n := range maps.Clone(wrong) { // the numbers that left are adjusted, so those that are deducted must be
		if len(key.span) > dayLength {
			wrong.add("", dayOf(key.span), key.series, 0, n.says-n.is)
		}
	}
	wrong.deleteEqual()
	for _, key := range slices.SortedFunc(maps.Keys(wrong), func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.cache, b.cache), cmp.Compare(a.span, b.span), cmp.Compare(a.series, b.series))
	}) {
		a.Found(Difference{a.Describe(key.series) + " " + key.describe(), wrong[key].says, wrong[key].is})
		if a.Repair {
			if err := c.repair(ctx, a, key, wrong[key]); err != nil {
				return 0, err
			}
		}
	}
	return things, nil
}

// compare compares the numbers in buckets and windows (c - x) with the things, those
// that were deducted from days (d) with those that left their windows (x), and
// those of snapshots with the counter items. After a first time, it counts only
// the things of days in which numbers were wrong.
func (c *Counters) compare(ctx context.Context, a Audit, wrong comparison, thingsOf map[string]int64) (comparison, error) {
	stored, err := c.snapshots(ctx, a.Prefix)
	if err != nil {
		return nil, err
	}
	sums := comparison{}
	for cache, sn := range stored {
		for day, n := range sn.sums {
			sums.add(cache, day, sn.series, n, 0)
		}
	}
	today := dayOf(Timestamp(c.clock.Now())) // or later
	isWrong := map[string]bool{}
	for key := range wrong {
		isWrong[min(dayOf(key.span), today)] = true
	}
	isCompared := func(span string) bool { return wrong == nil || isWrong[min(dayOf(span), today)] }
	day, err := c.firstDay(ctx, a, today)
	for ; err == nil && day <= today; day = nextDay(day) {
		end, spans := endOf(day), comparison{}
		if day == today {
			end = lastItem
		}
		for it, err := range c.query(ctx, a.Prefix, countersKind, itemRange{after: day, through: end}) {
			if err != nil {
				return nil, err
			}
			eachCount(it, func(letter byte, s Series, span string, n int64) {
				switch {
				case !isCompared(span):
				case letter == created:
					spans.add("", span, s, n, 0)
				case letter == left:
					spans.add("", span, s, -n, 0)
					sums.add("", dayOf(span), s, 0, n)
				case letter == deducted:
					sums.add("", span, s, n, 0)
				}
			})
			for cache, sn := range stored {
				if windowOfItem(it) <= sn.through {
					changed := counts{}
					sn.add(changed, it)
					for day, n := range changed {
						sums.add(cache, day, sn.series, 0, n)
					}
				}
			}
		}
		if !isCompared(day) {
			continue
		}
		thingsOf[day] = 0
		for thing, err := range a.Things(ctx, day, end) {
			if err != nil {
				return nil, err
			}
			thingsOf[day]++
			for _, s := range thing.Series {
				length := windowLength
				if s == All {
					length = bucketLength
				}
				spans.add("", thing.Created[:length], s, 0, 1)
			}
		}
		spans.deleteEqual()
		maps.Copy(sums, spans)
	}
	sums.deleteEqual()
	return sums, err
}

// firstDay returns the day of the first thing or counter item, at most today.
func (c *Counters) firstDay(ctx context.Context, a Audit, today string) (string, error) {
	day := today
	for it, err := range c.query(ctx, a.Prefix, countersKind, itemRange{through: lastItem, limit: 1}) {
		if err != nil {
			return "", err
		}
		day = min(day, dayOf(windowOfItem(it)))
	}
	for thing, err := range a.Things(ctx, "", lastItem) {
		if err != nil {
			return "", err
		}
		return min(day, dayOf(thing.Created)), nil
	}
	return day, nil
}

// snapshots returns the stored total and snapshots by their sort keys.
func (c *Counters) snapshots(ctx context.Context, prefix string) (map[string]*snapshot, error) {
	stored := map[string]*snapshot{}
	for kind, r := range map[string]itemRange{countersKind: {after: lastItem, through: totalKey}, snapshotKind: {through: lastItem}} {
		for it, err := range c.query(ctx, prefix, kind, r) {
			if err != nil {
				return nil, err
			}
			sn := &snapshot{isTotal: kind == countersKind}
			if !sn.isTotal {
				sn.series = Series(stringOf(it[attrSK])[1:])
			}
			sn.parse(it)
			stored[stringOf(it[attrSK])] = sn
		}
	}
	return stored, nil
}

// repair makes a number right. It deletes a snapshot, which is computed again.
func (c *Counters) repair(ctx context.Context, a Audit, key countKey, n saysAndIs) error {
	if key.cache != "" {
		sn := snapshot{series: key.series, isTotal: key.cache == totalKey}
		_, err := c.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.table, Key: sn.key(a.Prefix)})
		return err
	}
	return a.Write(ctx, func(at time.Time) *Change {
		change := NewChange(at)
		if len(key.span) == dayLength {
			change.now[dayName(key.series, key.span)] = n.is - n.says
		} else {
			name := fineName(left, key.series, key.span+"00:00")
			change.left[key.span[:windowLength]] = map[string]int64{name: n.says - n.is}
		}
		return change
	})
}

func (key countKey) describe() string {
	switch {
	case key.cache == totalKey:
		return "in the total"
	case key.cache != "":
		return "created on " + key.span + ", in the snapshot"
	case len(key.span) == dayLength:
		return "created on " + key.span + " and gone since"
	case key.series == All:
		return "created in the ten seconds from " + key.span + "0"
	}
	return "created in the ten minutes from " + key.span + "0"
}
