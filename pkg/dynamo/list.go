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
	ctx, cancel := patient(ctx)
	defer cancel()
	for attempt := 0; ; attempt++ {
		leads, total, err := t.page(ctx, tenant, limit, offset)
		if err != errUnsettled {
			return leads, total, err
		}
		if !sleep(ctx, attempt) {
			return nil, 0, &lead.BusyError{RetryAfter: time.Second, Err: err}
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
		keys, err := t.index(ctx, tenant, from.before, from.skip+want-len(leads))
		if err != nil {
			return nil, 0, err
		}
		if len(keys) <= from.skip {
			return nil, 0, errUnsettled
		}
		if err := from.check(keys); err != nil {
			return nil, 0, err
		}
		found, err := t.fetch(ctx, keys[from.skip:])
		if err != nil {
			return nil, 0, err
		}
		leads = append(leads, found...)
		from = place{before: createdAt(leadID(keys[len(keys)-1]))}
	}
	return leads, s.total, nil
}

// place is where in the index a page begins.
type place struct {
	before string // the index is read from here, towards the older
	skip   int    // and so many leads are passed over

	// cells are the counts of the cells that are known. The oldest of them may
	// be known although it was not read whole.
	cells map[string]int64
}

// find returns the place of a lead in the list: the index itself where that is
// near, else by the newest books, else by day and cell.
func (t *Table) find(ctx context.Context, tenant lead.Tenant, s *statement, offset int64) (place, error) {
	if offset <= t.near {
		return place{before: "~", skip: int(offset), cells: s.cells}, nil
	}
	cell, skip := newest(s.cells, offset)
	if cell != "" {
		return place{endOf(cell), int(skip), s.cells}, nil
	}
	days, err := t.calendar(ctx, tenant, s)
	if err != nil {
		return place{}, err
	}
	day, rest := newest(days, offset)
	if day == "" {
		return place{}, errUnsettled
	}
	onDay := &statement{cells: map[string]int64{}, lost: map[string]bool{}}
	if err := t.eachBook(ctx, tenant, day, day+"~", onDay.enter); err != nil {
		return place{}, err
	}
	if cell, skip = newest(onDay.cells, rest); cell == "" {
		return place{}, errUnsettled
	}
	return place{endOf(cell), int(skip), onDay.cells}, nil
}

// newest returns the span that holds the lead at an offset from the newest, and
// the offset of the lead within it; or "" where the spans hold too few.
func newest(counts map[string]int64, offset int64) (span string, rest int64) {
	for _, span := range slices.Backward(slices.Sorted(maps.Keys(counts))) {
		if n := counts[span]; offset < n {
			return span, offset
		}
		offset -= counts[span]
	}
	return "", 0
}

// check reports errUnsettled where the index lacks a lead that the books count.
func (p place) check(keys []item) error {
	shown := map[string]int64{}
	for _, k := range keys {
		shown[cellOf(leadID(k).Time())]++
	}
	last := cellOf(leadID(keys[len(keys)-1]).Time())
	for cell, n := range p.cells {
		if last < cell && cell < p.before && shown[cell] < n {
			return errUnsettled
		}
	}
	return nil
}

// index returns the keys of the newest leads created before, at most limit.
func (t *Table) index(ctx context.Context, tenant lead.Tenant, before string, limit int) ([]item, error) {
	var keys []item
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		IndexName:                 aws.String(indexName),
		KeyConditionExpression:    aws.String("tenant = :tenant AND created_at < :before"),
		ExpressionAttributeValues: item{":tenant": text(tenantName(tenant)), ":before": text(before)},
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(int32(limit)),
	})
	for len(keys) < limit && pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fault(err)
		}
		for _, it := range page.Items {
			keys = append(keys, item{attrPK: it[attrPK], attrSK: it[attrSK]})
		}
	}
	return keys[:min(len(keys), limit)], nil
}

// fetch reads the leads that have these keys, in this order, strongly
// consistent. A lead that is gone is left out.
func (t *Table) fetch(ctx context.Context, keys []item) ([]lead.Lead, error) {
	byID := map[lead.ID]lead.Lead{}
	for some := range slices.Chunk(keys, 100) {
		ask := map[string]types.KeysAndAttributes{t.name: {Keys: some, ConsistentRead: aws.Bool(true)}}
		for attempt := 0; len(ask) > 0; attempt++ {
			out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
			if err != nil {
				return nil, fault(err)
			}
			for _, it := range out.Responses[t.name] {
				l := leadOf(it)
				byID[l.ID] = l
			}
			if ask = out.UnprocessedKeys; len(ask) > 0 && !sleep(ctx, attempt) {
				return nil, fault(ctx.Err())
			}
		}
	}
	var leads []lead.Lead
	for _, k := range keys {
		if l, ok := byID[leadID(k)]; ok {
			leads = append(leads, l)
		}
	}
	return leads, nil
}
