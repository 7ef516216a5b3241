package dynamo

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// SetNear sets the greatest offset that is reached without the counters.
func (t *Table) SetNear(offset int64) { t.near = offset }

// SetSleep sets what is done instead of waiting between the rounds of an audit.
func (t *Table) SetSleep(sleep func(context.Context, time.Duration) error) { t.sleep = sleep }

// Tamper adds to an attribute of a counter item, as the product never does.
func (t *Table) Tamper(ctx context.Context, tenant lead.Tenant, sortKey, attribute string, n int64) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       itemKey(tenantName(tenant)+"/counters", sortKey),
		UpdateExpression:          aws.String("ADD #count :n"),
		ExpressionAttributeNames:  map[string]string{"#count": attribute},
		ExpressionAttributeValues: item{":n": number(n)},
	})
	return err
}

// SeriesOf returns the series of the leads with a value.
func SeriesOf(name, value string) counter.Series {
	field := lead.FieldNamed(name)
	s, _ := seriesOf(field, value)
	return s
}

// CreateTogether creates leads as so many concurrent writers do, and returns them
// in order.
func (t *Table) CreateTogether(ctx context.Context, tenant lead.Tenant, values lead.Values, writers int) (created []lead.Lead, err error) {
	var shards []*counter.Shard
	for range writers {
		shards = append(shards, t.shards.Acquire())
	}
	for _, shard := range shards { // each create takes the shard that was released last
		t.shards.Release(shard)
		l, _, err := t.Create(ctx, tenant, values, lead.IdempotencyKey{})
		if err != nil {
			return nil, err
		}
		created = append(created, l)
	}
	return created, nil
}

// Items returns all items of a partition of a tenant, with a sort key that
// begins so.
func (t *Table) Items(ctx context.Context, tenant lead.Tenant, kind, prefix string) (items []map[string]types.AttributeValue, err error) {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":pk": text(tenantName(tenant) + "/" + kind), ":from": text(cmp.Or(prefix, " ")), ":to": text(prefix + "~")},
		ConsistentRead:            aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
	}
	return items, nil
}

// Lose deletes the items of a partition of a tenant, with a sort key that begins
// so, for which keep returns false.
func (t *Table) Lose(ctx context.Context, tenant lead.Tenant, kind, prefix string, keep func() bool) error {
	items, err := t.Items(ctx, tenant, kind, prefix)
	if err != nil {
		return err
	}
	for _, it := range items {
		if keep() {
			continue
		}
		_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: itemKey(stringOf(it[attrPK]), stringOf(it[attrSK]))})
		if err != nil {
			return err
		}
	}
	return nil
}

// LoseCaches deletes totals, snapshots and rollups of a tenant, for which keep
// returns false.
func (t *Table) LoseCaches(ctx context.Context, tenant lead.Tenant, keep func() bool) error {
	for _, part := range [][2]string{{"counters", "~"}, {"snapshot", ""}, {"rollup", ""}} {
		if err := t.Lose(ctx, tenant, part[0], part[1], keep); err != nil {
			return err
		}
	}
	return nil
}

// ListAt lists all leads at an offset.
func (t *Table) ListAt(ctx context.Context, tenant lead.Tenant, limit int, offset int64) ([]lead.Lead, int64, error) {
	page, err := t.List(ctx, tenant, lead.ListQuery{Limit: limit, Offset: offset})
	return page.Leads, page.Total, err
}

// TamperCaches puts wrong numbers into the totals and snapshots of a tenant.
func (t *Table) TamperCaches(ctx context.Context, tenant lead.Tenant) error {
	totals, err := t.Items(ctx, tenant, "counters", "~")
	if err != nil {
		return err
	}
	snapshots, err := t.Items(ctx, tenant, "snapshot", "")
	if err != nil {
		return err
	}
	for _, it := range append(totals, snapshots...) {
		if it["total"] != nil {
			it["total"] = number(12345)
		} else {
			it["first"], it["days"] = text("2026-03-01"), text("99 0 0 0 1")
		}
		if _, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: it}); err != nil {
			return err
		}
	}
	return nil
}

// SeedOldLeads writes leads as an older version did: without index rows, without
// the attribute that names them, and without counters.
func (t *Table) SeedOldLeads(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time]) error {
	return t.putAll(ctx, func(yield func(item) bool) {
		var ids lead.IDGenerator
		for at := range times {
			l := t.newLead(ids.Next(at), values)
			it := itemFromLead(tenant, &l, "")
			delete(it, attrIndexed)
			if !yield(it) {
				return
			}
		}
	})
}

// CountRows counts the index rows of these leads.
func (t *Table) CountRows(ctx context.Context, tenant lead.Tenant, leads []lead.Lead) (rows int, err error) {
	for _, l := range leads {
		for _, s := range placeOf(&l, "st,lo,em") {
			it, err := t.getItem(ctx, rowKey(tenant, s, l.ID))
			if err != nil {
				return 0, err
			}
			if it != nil {
				rows++
			}
		}
	}
	return rows, nil
}

// AddRow puts an index row for a lead that does not exist.
func (t *Table) AddRow(ctx context.Context, tenant lead.Tenant, s counter.Series, at time.Time) error {
	id, _ := lead.IDAt(at, "000000000000")
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: rowKey(tenant, s, id)})
	return err
}
