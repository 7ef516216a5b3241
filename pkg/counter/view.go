package counter

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	// firstItems is how many of the newest items are read where it is not known
	// how far the total reaches.
	firstItems = 40

	// A reader of very many items stores the snapshot each time it has read so
	// many bytes, so that the next reader can continue if this one runs out of
	// time.
	maxUnstored = 1 << 20
)

// Counters reads the counter items of a table. Make one with [New]. It is safe
// for concurrent use.
type Counters struct {
	client *dynamodb.Client
	table  string
	clock  *Clock
	hints  sync.Map // by prefix: the window that the total reached when it was read
}

// New returns the counters in this table. It sends nothing.
func New(client *dynamodb.Client, table string, clock *Clock) *Counters {
	return &Counters{client: client, table: table, clock: clock}
}

// View is what the counters say of a series. The number of things is that of all
// changes that were written before the view was read, and of none that were
// written after.
type View struct {
	// Recent names the last things that each shard created or removed, see
	// [Change.Recent]. One may be named twice.
	Recent []RecentKey

	counters *Counters
	prefix   string
	series   Series
	counts   counts // of the whole series, or the pieces of a range
}

// Total returns how many things there are.
func (v *View) Total() int64 { return max(v.counts.sum(), 0) }

// ReadTotal reads how many things there are of the series [All], with one query,
// unless the total is missing or far behind. No other method of the view may be
// called.
func (c *Counters) ReadTotal(ctx context.Context, prefix string) (*View, error) {
	s := &summary{snapshot: snapshot{isTotal: true}, sealed: c.clock.sealed(), open: counts{}}
	after := ""
	newest := itemRange{through: totalKey, descending: true, limit: firstItems}
	if hint, _ := c.hints.Load(prefix); hint != nil && hint != "" {
		after = hint.(string)
		newest.after, newest.limit = endOf(after), 0
	}
	var items []item
	for it, err := range c.query(ctx, prefix, countersKind, newest) {
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if newest.limit > 0 && len(items) >= newest.limit {
		after = windowOfItem(items[len(items)-1]) // which may not be whole
	}
	var total item
	if len(items) > 0 && stringOf(items[0][attrSK]) == totalKey {
		total, items = items[0], items[1:]
	}
	if s.parse(total); s.through < after {
		return c.readSince(ctx, prefix, s)
	}
	slices.Reverse(items)
	return c.view(ctx, prefix, s, func(yield func(item, error) bool) {
		for _, it := range items {
			if !yield(it, nil) {
				return
			}
		}
	})
}

// Read reads how many things of a series there are, by the day of their creation:
// the snapshot, and then the counter items since. It stores the snapshot again if
// that is far behind.
//
// If there is no snapshot, Read reads all counter items, to make one, or returns
// nil if it must not.
func (c *Counters) Read(ctx context.Context, prefix string, series Series, mayMake bool) (*View, error) {
	s := &summary{snapshot: snapshot{series: series}, open: counts{}}
	out, err := c.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: s.key(prefix)}) // an older one does
	if err != nil {
		return nil, err
	}
	c.clock.ObserveAnswer(out.ResultMetadata)
	if s.parse(out.Item); s.through == "" && !mayMake {
		return nil, nil
	}
	s.sealed = c.clock.sealed()
	return c.readSince(ctx, prefix, s)
}

// readSince reads the counter items since a snapshot.
func (c *Counters) readSince(ctx context.Context, prefix string, s *summary) (*View, error) {
	return c.view(ctx, prefix, s, c.query(ctx, prefix, countersKind, itemRange{after: endOf(s.through), through: lastItem}))
}

// view adds these items to a snapshot, and stores it if it is old.
func (c *Counters) view(ctx context.Context, prefix string, s *summary, items iter.Seq2[item, error]) (*View, error) {
	last := ""
	for it, err := range items {
		if err != nil {
			return nil, err
		}
		if window := windowOfItem(it); window != last {
			if s.sealedSize > maxUnstored && last <= s.sealed {
				s.through, s.sealedSize = last, 0
				c.put(ctx, s.item(prefix))
			}
			last = window
		}
		s.addItem(it)
	}
	v := &View{Recent: s.recent, counters: c, prefix: prefix, series: s.series, counts: s.all()}
	if s.isOld() {
		s.through = s.sealed
		c.put(ctx, s.item(prefix))
		if s.series == All && !s.isTotal {
			s.isTotal = true
			c.put(ctx, s.item(prefix))
		}
	}
	if s.isTotal {
		c.hints.Store(prefix, s.through)
	}
	return v, nil
}

// Between limits the view to the things that were created from one bound to before
// another, see [Bound]; an empty bound is none. It calls edge to count the things
// between two bounds that the counters do not tell apart.
func (v *View) Between(ctx context.Context, from, to string, edge func(from, to string) (int64, error)) (err error) {
	spansOf := func(day string) (counts, error) { return v.spansOf(ctx, day) }
	v.counts, err = v.counts.pieces(from, to, spansOf, edge)
	return err
}

// Place says where in the order of creation a thing lies: at an offset from the
// newest thing in a span of time, which has Count things. The texts of From and To
// compare with timestamps.
type Place struct {
	From, To string // the span begins at From and ends before To
	Offset   int64
	Count    int64
}

// Find returns where the thing at an offset from the newest lies. If the counters
// change meanwhile, the place may be off by as many things. Where the counters
// have fewer things, the offset in the place is more than its count.
func (v *View) Find(ctx context.Context, offset int64) (Place, error) {
	found := v.counts
	span, offset := found.find(offset)
	if len(span) == dayLength {
		spans, err := v.spansOf(ctx, span)
		if err != nil {
			return Place{}, err
		}
		if inDay, rest := spans.find(offset); inDay != "" {
			found, span, offset = spans, inDay, rest
		}
	}
	return Place{From: span, To: endOf(span), Offset: offset, Count: found[span]}, nil
}

// spansOf returns how many things there are by the bucket or window of their
// creation, on a day.
func (v *View) spansOf(ctx context.Context, day string) (counts, error) {
	spans := counts{}
	for it, err := range v.counters.query(ctx, v.prefix, countersKind, itemRange{after: day, through: endOf(day)}) {
		if err != nil {
			return nil, err
		}
		spans.addSpans(it, v.series)
	}
	return spans, nil
}
