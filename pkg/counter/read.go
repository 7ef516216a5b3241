package counter

import (
	"context"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	// firstItems is how many of the newest items are read where it is not known
	// how far the total reaches.
	firstItems = 40

	// nearItems is how many items since a snapshot are read one by one. Where
	// there are more, days are read as rollups.
	nearItems = 500

	// A snapshot or total is brought forward when the items since are more than
	// foldItems, or foldBytes, which nearly is a read unit of 4 KB.
	foldItems = 12
	foldBytes = 3000

	maxHints = 10_000 // prefixes that a process remembers
)

// Counters reads the counter items of a table. Make one with [New]. It is safe
// for concurrent use.
type Counters struct {
	client *dynamodb.Client
	table  string
	clock  *Clock

	mu    sync.Mutex
	hints map[string]string // by prefix: through which window the total reached
}

// New returns the counters in this table. It sends nothing.
func New(client *dynamodb.Client, table string, clock *Clock) *Counters {
	return &Counters{client: client, table: table, clock: clock, hints: map[string]string{}}
}

// View is what the counters say of a series. The number of things is that of all
// changes that were written before the view was read, and of none that were
// written after.
type View struct {
	counters *Counters
	prefix   string
	series   Series
	sealed   string // the last window that was sealed before the items were read

	total  int64
	after  string // items are all counter items of the windows after this one
	items  []item
	folded bool // this view brought the total forward

	days counts // nil before they are needed, see loadDays
}

// Total returns how many things the series has.
func (v *View) Total() int64 { return max(v.total, 0) }

// Read reads what the counters say of a series. For [All] it is one query. For
// another series it reads the snapshot before that. It reads more, and writes,
// where the snapshots are missing or far behind.
func (c *Counters) Read(ctx context.Context, prefix string, s Series) (*View, error) {
	v := &View{counters: c, prefix: prefix, series: s}
	if s == All {
		return v, v.readTotal(ctx)
	}
	err := v.loadDays(ctx)
	v.total = v.days.sum()
	return v, err
}

// readTotal reads the total and the counter items since.
func (v *View) readTotal(ctx context.Context) error {
	c := v.counters
	if c.clock.sealed() == "" { // an answer with a date must come first
		if _, err := c.get(ctx, v.prefix, countersKind, totalKey); err != nil {
			return err
		}
	}
	v.sealed = c.clock.sealed()
	hint := c.hint(v.prefix)
	newest := itemRange{after: endOf(hint), through: totalKey, descending: true}
	if newest.after == "" {
		newest.limit = firstItems
	}
	items, more, err := c.query(ctx, v.prefix, countersKind, newest)
	if err != nil {
		return err
	}
	through := ""
	if len(items) > 0 && stringOf(items[0][attrSK]) == totalKey {
		through, v.total = stringOf(items[0][attrThrough]), numberOf(items[0][attrTotal])
		items = items[1:]
	}
	slices.Reverse(items)
	v.after = hint
	if more { // the oldest window may not be whole
		v.after = windowOfItem(items[0])
		items = itemsAfter(v.after, items)
	}
	behind := through < v.after
	if behind {
		older, err := v.itemsBetween(ctx, through, endOf(v.after))
		if err != nil {
			return err
		}
		v.after, items = through, append(older, items...)
	}
	v.setItems(v.after, items)
	items = itemsAfter(through, items)

	change := v.changeOf(items)
	v.total += change.total
	if through < v.sealed && (behind || through == "" || v.mustFold(items)) {
		through, v.folded = v.sealed, true
		c.put(ctx, totalItem(v.prefix, through, v.total-change.total+change.sealedTotal))
	}
	c.setHint(v.prefix, through)
	return nil
}

// loadDays reads the numbers by day of creation: those of the snapshot, and what
// the items since change in them.
func (v *View) loadDays(ctx context.Context) error {
	if v.days != nil {
		return nil
	}
	c := v.counters
	it, err := c.get(ctx, v.prefix, snapshotKind, snapshotSortKey(v.series))
	if err != nil {
		return err
	}
	sn := snapshotOf(it)
	var items []item
	if v.series == All {
		if sn.through < v.after {
			if items, err = v.itemsBetween(ctx, sn.through, endOf(v.after)); err != nil {
				return err
			}
		}
		items = append(items, v.items...)
	} else {
		v.sealed = c.clock.sealed()
		if items, err = v.itemsBetween(ctx, sn.through, lastItem); err != nil {
			return err
		}
		v.setItems(sn.through, items)
	}
	items = itemsAfter(sn.through, items)
	change := v.changeOf(items)
	v.days = sn.days.plus(change.days)
	if sn.through < v.sealed && !v.folded && v.mustFold(items) {
		c.put(ctx, snapshot{v.sealed, sn.days.plus(change.sealedDays)}.item(v.prefix, v.series))
	}
	return nil
}

// setItems keeps the counter items that come after the last rollup. They are all
// that there are after a window.
func (v *View) setItems(after string, items []item) {
	v.after, v.items = after, items
	for i, it := range items {
		if day := windowOfItem(it); len(day) == dayLength {
			v.after, v.items = day+"T23:5", items[i+1:]
		}
	}
}

func itemsAfter(window string, items []item) []item {
	return slices.DeleteFunc(slices.Clone(items), func(it item) bool { return windowOfItem(it) <= window })
}

// change is what items change in the number of things by day of creation, and
// what of that is sealed.
type change struct {
	total, sealedTotal int64
	days, sealedDays   counts
}

func (v *View) changeOf(items []item) change {
	c := change{days: counts{}, sealedDays: counts{}}
	for _, it := range items {
		c.days.addDays(it, v.series)
		if windowOfItem(it) <= v.sealed {
			c.sealedDays.addDays(it, v.series)
		}
	}
	c.total, c.sealedTotal = c.days.sum(), c.sealedDays.sum()
	return c
}

// mustFold reports whether so many items were read since a snapshot that it must
// be brought forward, and enough of them are sealed.
func (v *View) mustFold(items []item) bool {
	size, sealedSize := 0, 0
	for _, it := range items {
		n := sizeOf(it)
		if size += n; windowOfItem(it) <= v.sealed {
			sealedSize += n
		}
	}
	return (len(items) > foldItems || size > foldBytes) && 3*sealedSize > size
}

// itemsBetween reads the counter items after a window and before a sort key, in
// order. Where they are many, it reads rollups in the place of those of days that
// are sealed.
func (v *View) itemsBetween(ctx context.Context, after, before string) ([]item, error) {
	c := v.counters
	items, more, err := c.query(ctx, v.prefix, countersKind, itemRange{after: endOf(after), through: before, limit: nearItems})
	if err != nil || !more {
		return items, err
	}
	firstDay, lastDay := dayOf(after), "" // of the rollups: after the first, through the last
	if v.sealed != "" {
		lastDay = addDays(min(dayOf(v.sealed), dayOf(before)), -1)
	}
	if lastDay <= firstDay {
		rest, _, err := c.query(ctx, v.prefix, countersKind, itemRange{after: stringOf(items[len(items)-1][attrSK]), through: before})
		return append(items, rest...), err
	}
	items = nil
	if firstDay != "" {
		items, _, err = c.query(ctx, v.prefix, countersKind, itemRange{after: endOf(after), through: endOf(firstDay)})
		if err != nil {
			return nil, err
		}
	}
	days, err := c.rollups(ctx, v.prefix, firstDay, lastDay)
	if err != nil {
		return nil, err
	}
	newest, _, err := c.query(ctx, v.prefix, countersKind, itemRange{after: endOf(lastDay), through: before})
	return slices.Concat(items, days, newest), err
}

func (c *Counters) hint(prefix string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hints[prefix]
}

func (c *Counters) setHint(prefix string, h string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hints) >= maxHints {
		clear(c.hints)
	}
	c.hints[prefix] = h
}
