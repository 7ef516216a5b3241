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

// errUnsettled means that index and books do not agree yet.
var errUnsettled = errors.New("the index lags behind the books")

// List implements [lead.Store]. The books say how many leads there are and in
// which second the first of the page was created; the index, read from the end
// of that second on, names the page's leads; and a strongly consistent read
// fetches them.
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
	before, skip := s.find(offset)
	leads := make([]lead.Lead, 0, want)
	for len(leads) < want {
		keys, err := t.index(ctx, tenant, before, skip+want-len(leads))
		if err != nil {
			return nil, 0, err
		}
		if len(keys) <= skip {
			return nil, 0, errUnsettled
		}
		found, err := t.fetch(ctx, keys[skip:])
		if err != nil {
			return nil, 0, err
		}
		leads = append(leads, found...)
		before, skip = createdAt(leadID(keys[len(keys)-1])), 0
	}
	return leads, s.total, nil
}

// find returns where in the index to begin: before this time, and how many
// leads to skip.
func (s *statement) find(offset int64) (before string, skip int) {
	seconds := slices.Sorted(maps.Keys(s.seconds))
	for _, second := range slices.Backward(seconds) {
		if n := s.seconds[second]; offset < n {
			return second + "~", int(offset)
		} else if n > 0 {
			offset -= n
		}
	}
	return "", 0
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
