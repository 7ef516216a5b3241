package dynamo

import (
	"context"
	"iter"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// indexPart is a part of an index: what sorts after one sort key and before
// another, read from its newest lead on or from its oldest.
type indexPart struct {
	after, before string
	ascending     bool
}

// has reports whether a lead lies in the part.
func (p indexPart) has(id lead.ID) bool {
	at := createdAt(id)
	return p.after < at && at < p.before
}

// of returns those of the ids, which have the newest first, that lie in the part.
func (p indexPart) of(ids []lead.ID) (in []lead.ID) {
	for _, id := range ids {
		if p.has(id) {
			in = append(in, id)
		}
	}
	if p.ascending {
		slices.Reverse(in)
	}
	return in
}

// readIndex returns the ids of the leads in a part of the index of a series: those
// after one sort key and before another, at most limit, or all if limit is 0. It
// also reports whether there may be more. The rows of a filter are strongly
// consistent; the index of all leads, a global secondary index, is not.
func (t *Table) readIndex(ctx context.Context, tenant lead.Tenant, s counter.Series, part indexPart, limit int) (ids []lead.ID, more bool, err error) {
	if part.before <= part.after {
		return nil, false, nil
	}
	partition, sortKey, value := attrTenant, attrCreated, tenantName(tenant)
	if s != counter.All {
		partition, sortKey, value = attrPK, attrSK, rowsOf(tenant, s)
	}
	key := expression.Key(partition).Equal(expression.Value(value)).
		And(expression.Key(sortKey).Between(expression.Value(part.after+" "), expression.Value(justBefore(part.before))))
	expr, err := expression.NewBuilder().WithKeyCondition(key).WithProjection(expression.NamesList(expression.Name(sortKey))).Build()
	if err != nil {
		return nil, false, err
	}
	query := &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    expr.KeyCondition(),
		ProjectionExpression:      expr.Projection(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
		ScanIndexForward:          aws.Bool(part.ascending),
		ConsistentRead:            aws.Bool(s != counter.All),
	}
	if s == counter.All {
		query.IndexName = aws.String(indexName)
	}
	if limit > 0 {
		query.Limit = aws.Int32(int32(min(limit, math.MaxInt32)))
	}
	pages := dynamodb.NewQueryPaginator(t.client, query)
	for (limit == 0 || len(ids) < limit) && pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, false, toStoreError(err)
		}
		for _, it := range page.Items {
			if id := idOf(stringOf(it[sortKey])); id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids, pages.HasMorePages(), nil
}

// justBefore returns a text that sorts between all shorter texts than a sort key
// and the sort key.
func justBefore(sortKey string) string {
	last := len(sortKey) - 1
	return sortKey[:last] + string(sortKey[last]-1) + "~"
}

// fetchLeads returns the leads with these ids that exist, in this order, strongly
// consistent.
func (t *Table) fetchLeads(ctx context.Context, tenant lead.Tenant, ids []lead.ID) ([]lead.Lead, error) {
	items, err := t.fetchItems(ctx, tenant, ids)
	leads := make([]lead.Lead, len(items))
	for i, it := range items {
		leads[i] = t.leadFromItem(it)
	}
	return leads, err
}

func (t *Table) fetchItems(ctx context.Context, tenant lead.Tenant, ids []lead.ID) ([]item, error) {
	keys := make([]item, len(ids))
	for i, id := range ids {
		keys[i] = leadKey(tenant, id)
	}
	items, err := t.getItems(ctx, keys)
	return slices.DeleteFunc(items, func(it item) bool { return it == nil }), err
}

// getItems returns the items with these keys, strongly consistent, each in the place
// of its key. An item that does not exist is nil.
func (t *Table) getItems(ctx context.Context, keys []item) ([]item, error) {
	nameOf := func(it item) string { return stringOf(it[attrPK]) + " " + stringOf(it[attrSK]) }
	found := make(map[string]item, len(keys)) // by name; nil until it is found
	var unique []item                         // BatchGetItem takes no key twice
	for _, key := range keys {
		if _, ok := found[nameOf(key)]; !ok {
			found[nameOf(key)] = nil
			unique = append(unique, key)
		}
	}
	for some := range slices.Chunk(unique, 100) { // as many as BatchGetItem takes
		ask := map[string]types.KeysAndAttributes{t.name: {Keys: some, ConsistentRead: aws.Bool(true)}}
		for attempt := 1; len(ask) > 0; attempt++ {
			out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
			if err != nil {
				return nil, toStoreError(err)
			}
			for _, it := range out.Responses[t.name] {
				found[nameOf(it)] = it
			}
			if ask = out.UnprocessedKeys; len(ask) > 0 && t.waitBeforeRetry(ctx, attempt, nil) != nil {
				return nil, toStoreError(ctx.Err())
			}
		}
	}
	items := make([]item, len(keys))
	for i, key := range keys {
		items[i] = found[nameOf(key)]
	}
	return items, nil
}

// All returns every lead of the tenant, the oldest first. It ends after the
// first error. Leads that were created in the last seconds may be missing,
// because the index is updated after the table.
func (t *Table) All(ctx context.Context, tenant lead.Tenant) iter.Seq2[lead.Lead, error] {
	return func(yield func(lead.Lead, error) bool) {
		for it, err := range t.eachItem(ctx, tenant, "", endOfIndex) {
			var l lead.Lead
			if err == nil {
				l = t.leadFromItem(it)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// eachItem returns the items of all leads between two sort keys of the index, as
// All does.
func (t *Table) eachItem(ctx context.Context, tenant lead.Tenant, after, before string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		for more := true; more; {
			var items []item
			var err error
			if items, after, more, err = t.nextItems(ctx, tenant, after, before); err != nil {
				yield(nil, err)
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
		}
	}
}

// nextItems returns the items of the next leads between two sort keys of the
// index, the last sort key of these, and whether there may be more.
func (t *Table) nextItems(ctx context.Context, tenant lead.Tenant, after, before string) (items []item, last string, more bool, err error) {
	const pageSize = 100
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	ids, more, err := t.readIndex(ctx, tenant, counter.All, indexPart{after, before, true}, pageSize)
	if err != nil || len(ids) == 0 {
		return nil, after, false, err
	}
	items, err = t.fetchItems(ctx, tenant, ids)
	return items, createdAt(ids[len(ids)-1]), more, err
}
