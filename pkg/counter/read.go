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
//
// A series without a snapshot may have few things, or none. Before it reads all
// counter items for them, Read calls isSmall, and returns nil if that is true.
func (c *Counters) Read(ctx context.Context, prefix string, s Series, isSmall func() (bool, error)) (*View, error) {
	v := &View{counters: c, prefix: prefix, series: s}
	if s == All {
		return v, v.readTotal(ctx)
	}
	days, err := v.readSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	if days.through == "" {
		if small, err := isSmall(); small || err != nil {
			return nil, err
		}
	}
	v.sealed = c.clock.sealed()
	if v.items, err = v.advance(ctx, &days, lastItem); err != nil {
		return nil, err
	}
	v.after = days.through
	v.setDays(ctx, days, v.items)
	v.total = v.days.sum()
	return v, nil
}

// readTotal reads the total and the counter items since.
func (v *View) readTotal(ctx context.Context) error {
	c := v.counters
	if c.clock.sealed() == "" { // an answer with a date must come first
		if _, err := c.get(ctx, v.prefix, countersKind, totalKey); err != nil {
			return err
		}
	}
	v.sealed, v.after = c.clock.sealed(), c.hint(v.prefix)
	newest := itemRange{after: endOf(v.after), through: totalKey, descending: true}
	if v.after == "" {
		newest.limit = firstItems
	}
	items, more, err := c.query(ctx, v.prefix, countersKind, newest)
	if err != nil {
		return err
	}
	total := snapshot{series: All, isTotal: true}
	if len(items) > 0 && stringOf(items[0][attrSK]) == totalKey {
		total.parse(items[0])
		items = items[1:]
	}
	slices.Reverse(items)
	if more { // the oldest window may not be whole
		v.after = windowOfItem(items[0])
		items = itemsAfter(v.after, items)
	}
	isBehind := total.through < v.after
	if isBehind {
		older, err := v.advance(ctx, &total, endOf(v.after))
		if err != nil {
			return err
		}
		v.after, items = total.through, append(older, items...)
	}
	v.items = items
	v.total = total.with(items, lastItem).sums.sum()
	v.folded = v.fold(ctx, &total, items, isBehind || total.through == "")
	c.setHint(v.prefix, total.through)
	return nil
}

// loadDays reads the numbers by day of creation, unless it has them.
func (v *View) loadDays(ctx context.Context) error {
	if v.days != nil {
		return nil
	}
	days, err := v.readSnapshot(ctx)
	if err != nil {
		return err
	}
	items := v.items
	if days.through < v.after {
		older, err := v.advance(ctx, &days, endOf(v.after))
		if err != nil {
			return err
		}
		items = append(older, items...)
	}
	v.setDays(ctx, days, items)
	return nil
}

func (v *View) readSnapshot(ctx context.Context) (snapshot, error) {
	days := snapshot{series: v.series}
	it, err := v.counters.get(ctx, v.prefix, snapshotKind, days.sortKey())
	days.parse(it)
	return days, err
}

// setDays sets the numbers by day: those of the snapshot, and what the items
// since change in them.
func (v *View) setDays(ctx context.Context, days snapshot, items []item) {
	v.days = days.with(items, lastItem).sums
	if !v.folded { // one write is enough for one call
		v.fold(ctx, &days, items, days.through == "" && v.series != All)
	}
}

// advance returns the counter items after a snapshot and before a sort key. If
// there is more than a page of them, it brings the snapshot forward by all but
// the last page, and stores it after each. So the memory it needs is limited, and
// a reader that runs out of time leaves its work to the next.
func (v *View) advance(ctx context.Context, sn *snapshot, before string) (items []item, err error) {
	c := v.counters
	err = c.eachPage(ctx, v.prefix, countersKind, itemRange{after: endOf(sn.through), through: before}, func(page []item, last bool) error {
		items = append(items, page...)
		if last {
			return nil
		}
		// The last window of a page may not be whole.
		whole := slices.DeleteFunc(slices.Clone(items), func(it item) bool { return windowOfItem(it) == windowOfItem(page[len(page)-1]) })
		if len(whole) > 0 && windowOfItem(whole[len(whole)-1]) <= v.sealed {
			*sn = sn.with(whole, windowOfItem(whole[len(whole)-1]))
			items = itemsAfter(sn.through, items)
			c.put(ctx, sn.item(v.prefix))
		}
		return nil
	})
	return items, err
}

// fold brings a snapshot forward to the last sealed window and stores it, if it
// must or if there are many items since, and enough of them are sealed.
func (v *View) fold(ctx context.Context, sn *snapshot, items []item, must bool) bool {
	size, sealedSize, n := 0, 0, 0
	for _, it := range itemsAfter(sn.through, items) {
		n++
		if size += sizeOf(it); windowOfItem(it) <= v.sealed {
			sealedSize += sizeOf(it)
		}
	}
	isLarge := (n > foldItems || size > foldBytes) && 3*sealedSize > size
	if sn.through >= v.sealed || !isLarge && !must {
		return false
	}
	*sn = sn.with(items, v.sealed)
	v.counters.put(ctx, sn.item(v.prefix))
	return true
}

func itemsAfter(window string, items []item) []item {
	return slices.DeleteFunc(slices.Clone(items), func(it item) bool { return windowOfItem(it) <= window })
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
