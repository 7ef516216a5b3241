package counter

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Place says where in the order of creation a thing lies: at an offset from the
// newest thing in a piece of time. Texts of From and To compare with timestamps.
type Place struct {
	From, To string // the piece begins at From and ends before To
	Offset   int64  // of the thing
	Count    int64  // of things in the piece
}

// Range is a part of a view: the things that were created from one time to
// before another. Its count is exact where the pieces at its edges are.
type Range struct {
	view     *View
	from, to string
	pieces   counts // nil for the whole view
}

// Everything returns the whole view as a range.
func (v *View) Everything() Range { return Range{view: v, to: lastItem} }

// Between returns the things that were created from one bound to before another,
// see [Bound]; an empty bound is none. It calls edge to count the things of a
// piece that a bound lies in: edge gets the piece, its part, and how many things
// the whole piece has.
func (v *View) Between(ctx context.Context, from, to string, edge func(piece Place, from, to string) (int64, error)) (Range, error) {
	if to == "" {
		to = lastItem
	}
	r := Range{view: v, from: from, to: to, pieces: counts{}}
	if from >= to {
		return r, nil
	}
	if err := v.loadDays(ctx); err != nil {
		return r, err
	}
	var err error
	r.pieces, err = v.days.pieces(from, to,
		func(day string) (counts, error) { return v.spansOf(ctx, day) },
		func(span string, n int64) (int64, error) {
			return edge(place(span, 0, n), max(from, span), min(to, endOf(span)))
		})
	return r, err
}

// Total returns how many things the range has.
func (r Range) Total() int64 {
	if r.pieces == nil {
		return r.view.Total()
	}
	return max(r.pieces.sum(), 0)
}

// Find returns where the thing at an offset from the newest lies. If the counters
// change meanwhile, the place may be off by as many things. Where the counters
// have fewer things, the offset in the place is more than its count.
func (r Range) Find(ctx context.Context, offset int64) (Place, error) {
	v, pieces := r.view, r.pieces
	if pieces == nil {
		if pieces = v.Spans(); offset >= pieces.sum() {
			if err := v.loadDays(ctx); err != nil {
				return Place{}, err
			}
			pieces = v.days
		}
	}
	span, rest := pieces.find(offset)
	n := pieces[span]
	if len(span) == dayLength {
		spans, err := v.spansOf(ctx, span)
		if err != nil {
			return Place{}, err
		}
		if inDay, inSpan := spans.find(rest); inDay != "" {
			span, rest, n = inDay, inSpan, spans[inDay]
		}
	}
	if span == "" {
		return Place{From: r.from, To: r.to, Offset: offset}, nil
	}
	p := place(span, rest, n)
	p.From, p.To = max(r.from, p.From), min(r.to, p.To)
	return p, nil
}

func place(span string, offset, n int64) Place {
	return Place{From: span, To: endOf(span), Offset: offset, Count: n}
}

// Spans returns how many things there are by the bucket of their creation, for
// all buckets of the newest windows. (Of other series than [All], by window.)
func (v *View) Spans() counts {
	spans := counts{}
	for _, it := range v.items {
		spans.addSpans(it, v.series)
	}
	return spans
}

// spansOf returns how many things there are by the bucket or window of their
// creation, on a day.
func (v *View) spansOf(ctx context.Context, day string) (counts, error) {
	items := v.items
	if v.after >= day {
		var err error
		items, _, err = v.counters.query(ctx, v.prefix, countersKind, itemRange{after: day, through: endOf(day)})
		if err != nil {
			return nil, err
		}
	}
	spans := counts{}
	for _, it := range items {
		if dayOf(windowOfItem(it)) == day {
			spans.addSpans(it, v.series)
		}
	}
	return spans, nil
}

// RecentKeys are the keys of the newest things that one shard created, see
// [Change.Recent], the oldest first.
type RecentKeys struct {
	Keys     []Key
	Complete bool // the shard created no others within two seconds
}

// RecentKeys returns the keys of the newest things of each shard.
func (v *View) RecentKeys() (shards []RecentKeys) {
	for _, it := range itemsAfter(v.sealed, v.items) {
		var keys []Key
		if joined, ok := it[attrRecent].(*types.AttributeValueMemberB); ok {
			for key := range slices.Chunk(joined.Value, len(Key{})) {
				keys = append(keys, Key(key))
			}
		}
		if len(keys) > 0 {
			shards = append(shards, RecentKeys{keys, len(keys) < maxRecent})
		}
	}
	return shards
}

// LeftRecently reports whether things left the series within the last half hour or
// so. An index may still show them.
func (v *View) LeftRecently() (leftRecently bool) {
	for _, it := range itemsAfter(v.sealed, v.items) {
		eachCount(it, v.series, func(letter byte, _ string, n int64) {
			leftRecently = leftRecently || letter == deducted && n > 0
		})
	}
	return leftRecently
}

// Day returns the day of a timestamp.
func Day(timestamp string) string { return dayOf(timestamp) }

// Bucket returns the bucket of a timestamp.
func Bucket(timestamp string) string { return timestamp[:bucketLength] }
