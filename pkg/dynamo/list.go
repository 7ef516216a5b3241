package dynamo

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// nearOffset is the greatest offset that is reached by reading the index from
// its start. It costs less than finding a place in the books.
const nearOffset = 100

// errUnsettled means that index and books do not agree yet.
var errUnsettled = errors.New("the index lags behind the books")

// List implements [lead.Store]. The books say how many leads there are and in
// which cell the first of the page was created; the index, read from the end of
// that cell on, names the page's leads; and a strongly consistent read fetches
// them.
//
// The index follows the table after a moment. Where it does not hold what the
// books say, List looks again for as long as it has patience.
func (t *Table) List(ctx context.Context, tenant lead.Tenant, limit int, offset int64) ([]lead.Lead, int64, error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	for attempt := 0; ; attempt++ {
		leads, total, err := t.page(ctx, tenant, limit, offset)
		if err != errUnsettled {
			return leads, total, err
		}
		if t.waitBeforeRetry(ctx, attempt+1, err) != nil {
			return nil, 0, &lead.UnavailableError{RetryAfter: time.Second, Err: err}
		}
	}
}

func (t *Table) page(ctx context.Context, tenant lead.Tenant, limit int, offset int64) ([]lead.Lead, int64, error) {
	s, err := t.statement(ctx, tenant)
	if err != nil {
		return nil, 0, err
	}
	want := int(min(int64(limit), s.total-offset))
	if want <= 0 {
		return nil, max(s.total, 0), nil
	}
	from, err := t.find(ctx, tenant, s, offset)
	if err != nil {
		return nil, 0, err
	}
	leads := make([]lead.Lead, 0, want)
	for len(leads) < want {
		missing := want - len(leads)
		keys, more, err := t.index(ctx, tenant, older, from.before, from.rows(missing))
		if err != nil {
			return nil, 0, err
		}
		if len(keys) == 0 {
			return nil, 0, errUnsettled
		}
		last := keys[len(keys)-1]
		if keys, err = t.withoutGhosts(ctx, keys, more, from); err != nil {
			return nil, 0, err
		}
		passed := min(len(keys), from.skip)
		if keys = keys[passed:]; len(keys) > missing {
			keys = keys[:missing]
			last = keys[missing-1]
		}
		if leads, err = t.fetch(ctx, leads, keys); err != nil {
			return nil, 0, err
		}
		from = place{before: createdAt(leadID(last)), skip: from.skip - passed, lost: s.lost}
	}
	return leads, s.total, nil
}

// end is the place in the index after the newest lead.
const end = "~"

// place is where in the index a page begins.
type place struct {
	before string           // the index is read from here, towards the older
	skip   int              // and so many leads are passed over
	cells  map[string]int64 // the counts of the cells that are known
	lost   map[string]bool  // see statement
}

// fewGhosts is how many rows of the index are looked up to tell leads from
// ghosts; with more of them, the index is given time.
const fewGhosts = 100

// rows returns how many rows of the index to read for so many leads. The cell in
// which the passing over ends is read whole where it lost leads of late, since
// its count then tells whether the index shows some that are gone; unless it is
// so long that looking up what is passed over in it costs less.
func (p place) rows(leads int) int {
	const lookUp = 70 // rows of the index cost about as much as fetching a lead
	rows := p.skip + leads
	cell, passed := newest(p.cells, p.before, int64(p.skip))
	if passed == 0 || !p.lost[cell[:periodLength]] {
		return rows
	}
	whole := p.skip + int(p.cells[cell]-passed) + 1
	if whole-rows > int(passed)*lookUp {
		return rows
	}
	return max(rows, whole)
}

// find returns the place of a lead in the list: the index itself where that is
// near, else by the newest books, else by day and cell.
func (t *Table) find(ctx context.Context, tenant lead.Tenant, s *statement, offset int64) (place, error) {
	if offset <= t.near {
		return place{before: end, skip: int(offset), cells: s.cells, lost: s.lost}, nil
	}
	if cell, skip := newest(s.cells, end, offset); cell != "" {
		return t.within(ctx, tenant, s, s.cells, cell, skip)
	}
	days, err := t.calendar(ctx, tenant, s)
	if err != nil {
		return place{}, err
	}
	day, rest := newest(days, end, offset)
	if day == "" {
		return place{}, errUnsettled
	}
	onDay := &statement{cells: map[string]int64{}, lost: map[string]bool{}}
	if err := t.eachBook(ctx, tenant, day, day+"~", onDay.enter); err != nil {
		return place{}, err
	}
	cell, skip := newest(onDay.cells, end, rest)
	if cell == "" {
		return place{}, errUnsettled
	}
	return t.within(ctx, tenant, s, onDay.cells, cell, skip)
}

// within returns the place of a lead that has so many newer ones in its cell.
// It is counted from the newer end of the cell, or, where that is nearer and the
// index has long caught up with the cell, from the older.
func (t *Table) within(ctx context.Context, tenant lead.Tenant, s *statement, cells map[string]int64, cell string, newerOnes int64) (place, error) {
	period := cell[:periodLength]
	rank := cells[cell] - newerOnes // from the older end, 1 for the oldest
	if rank >= newerOnes-nearOffset || period > s.settled || s.lost[period] {
		return place{endOf(cell), int(newerOnes), cells, s.lost}, nil
	}
	keys, _, err := t.index(ctx, tenant, newer, cell, int(rank))
	if err != nil {
		return place{}, err
	}
	if int64(len(keys)) < rank {
		return place{}, errUnsettled
	}
	delete(cells, cell) // it will not be read whole
	return place{before: createdAt(leadID(keys[rank-1])) + "~", cells: cells, lost: s.lost}, nil
}

// newest returns the span that holds the lead at an offset from the newest
// before a place, and the offset of the lead within it; or "" where the spans
// hold too few.
func newest(counts map[string]int64, before string, offset int64) (span string, rest int64) {
	for _, span := range slices.Backward(slices.Sorted(maps.Keys(counts))) {
		n := counts[span]
		switch {
		case span > before:
		case offset < n:
			return span, offset
		default:
			offset -= n
		}
	}
	return "", 0
}

// withoutGhosts holds what the index shows against the books. Where it lacks a
// lead, that is errUnsettled. Where it may show leads that are gone, among those
// that are passed over, they are looked up and left out; those further on will
// be missed when they are fetched.
func (t *Table) withoutGhosts(ctx context.Context, keys []item, more bool, p place) ([]item, error) {
	shown := map[string]int64{}
	for _, k := range keys {
		shown[cellOf(leadID(k).Time())]++
	}
	last := "" // the cell that may not have been read whole
	if more {
		last = cellOf(leadID(keys[len(keys)-1]).Time())
	}
	for cell, n := range p.cells {
		if last < cell && cell < p.before && shown[cell] < n {
			return nil, errUnsettled
		}
	}
	doubtful := map[lead.ID]item{}
	for _, k := range keys[:min(len(keys), p.skip)] {
		id := leadID(k)
		cell := cellOf(id.Time())
		n, known := p.cells[cell]
		whole := known && last < cell
		if whole && shown[cell] > n || !whole && p.lost[cell[:periodLength]] {
			doubtful[id] = k
		}
	}
	if len(doubtful) > fewGhosts {
		return nil, errUnsettled
	}
	found, err := t.fetch(ctx, nil, slices.Collect(maps.Values(doubtful)))
	if err != nil {
		return nil, err
	}
	for _, l := range found {
		delete(doubtful, l.ID)
	}
	return slices.DeleteFunc(keys, func(k item) bool { return doubtful[leadID(k)] != nil }), nil
}

// The directions in which the index is read, as a query compares.
const (
	older = "<"
	newer = ">"
)

// index returns the keys of the leads created before a place in the index, the
// newest first, or after it, the oldest first: at most limit, and whether there
// may be more.
func (t *Table) index(ctx context.Context, tenant lead.Tenant, direction, from string, limit int) (keys []item, more bool, err error) {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		IndexName:                 aws.String(indexName),
		KeyConditionExpression:    aws.String("tenant = :tenant AND created_at " + direction + " :from"),
		ProjectionExpression:      aws.String("pk, sk"),
		ExpressionAttributeValues: item{":tenant": text(tenantName(tenant)), ":from": text(from)},
		ScanIndexForward:          aws.Bool(direction == newer),
		Limit:                     aws.Int32(int32(limit)),
	})
	for len(keys) < limit && pages.HasMorePages() {
		ctx, cancel := withRetryDeadline(ctx)
		page, err := pages.NextPage(ctx)
		cancel()
		if err != nil {
			return nil, false, toStoreError(err)
		}
		keys = append(keys, page.Items...)
	}
	return keys, len(keys) >= limit, nil
}

// fetch appends the leads that have these keys, in this order, strongly
// consistent. A lead that is gone is left out.
func (t *Table) fetch(ctx context.Context, leads []lead.Lead, keys []item) ([]lead.Lead, error) {
	byID := make(map[lead.ID]item, len(keys))
	for some := range slices.Chunk(keys, 100) {
		ask := map[string]types.KeysAndAttributes{t.name: {Keys: some, ConsistentRead: aws.Bool(true)}}
		for attempt := 0; len(ask) > 0; attempt++ {
			out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
			if err != nil {
				return nil, toStoreError(err)
			}
			for _, it := range out.Responses[t.name] {
				byID[leadID(it)] = it
			}
			if ask = out.UnprocessedKeys; len(ask) > 0 && t.waitBeforeRetry(ctx, attempt+1, nil) != nil {
				return nil, toStoreError(ctx.Err())
			}
		}
	}
	leads = slices.Grow(leads, len(byID))
	for _, k := range keys {
		if it, ok := byID[leadID(k)]; ok {
			leads = append(leads, leadFromItem(it))
		}
	}
	return leads, nil
}
