package counter

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// itemRange names items of a partition by their sort keys: those after one and
// through another.
type itemRange struct {
	after, through string
	descending     bool
	limit          int32 // 0 is none
}

// query reads items and reports whether there are more than the limit. Counter
// items are read strongly consistent; an older state of the others does as well.
func (c *Counters) query(ctx context.Context, prefix, kind string, r itemRange) (items []item, more bool, err error) {
	err = c.eachPage(ctx, prefix, kind, r, func(page []item, last bool) error {
		items, more = append(items, page...), !last
		return nil
	})
	return items, more, err
}

// eachPage calls f for each page of items that a query returns.
func (c *Counters) eachPage(ctx context.Context, prefix, kind string, r itemRange, f func(page []item, last bool) error) error {
	if r.through <= r.after {
		return f(nil, true)
	}
	key := expression.Key(attrPK).Equal(expression.Value(partition(prefix, kind))).
		And(expression.Key(attrSK).Between(expression.Value(r.after+" "), expression.Value(r.through)))
	e, err := expression.NewBuilder().WithKeyCondition(key).Build()
	if err != nil {
		return err
	}
	in := &dynamodb.QueryInput{
		TableName:                 &c.table,
		KeyConditionExpression:    e.KeyCondition(),
		ExpressionAttributeNames:  e.Names(),
		ExpressionAttributeValues: e.Values(),
		ConsistentRead:            aws.Bool(kind == countersKind),
		ScanIndexForward:          aws.Bool(!r.descending),
	}
	if r.limit > 0 {
		in.Limit = &r.limit
	}
	for read := int32(0); ; {
		out, err := c.client.Query(ctx, in)
		if err != nil {
			return err
		}
		c.clock.ObserveAnswer(out.ResultMetadata)
		last := out.LastEvaluatedKey == nil
		if err := f(out.Items, last); err != nil {
			return err
		}
		read += int32(len(out.Items))
		if last || r.limit > 0 && read >= r.limit {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// get reads an item; an older state does. It is nil where there is none.
func (c *Counters) get(ctx context.Context, prefix, kind, sortKey string) (item, error) {
	out, err := c.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: itemKey(partition(prefix, kind), sortKey)})
	if err != nil {
		return nil, err
	}
	c.clock.ObserveAnswer(out.ResultMetadata)
	return out.Item, nil
}

// put stores an item that can be computed again. So it tries once, and ignores
// errors.
func (c *Counters) put(ctx context.Context, it item) {
	_, _ = c.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.table, Item: it},
		func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

// snapshots returns the stored total and snapshots.
func (c *Counters) snapshots(ctx context.Context, prefix string) (stored []snapshot, err error) {
	total, err := c.get(ctx, prefix, countersKind, totalKey)
	if err != nil {
		return nil, err
	}
	items, _, err := c.query(ctx, prefix, snapshotKind, itemRange{through: lastItem})
	for i, it := range append([]item{total}, items...) {
		sn := snapshot{isTotal: i == 0}
		if !sn.isTotal {
			sn.series = Series(stringOf(it[attrSK])[1:])
		}
		sn.parse(it)
		stored = append(stored, sn)
	}
	return stored, err
}

// delete deletes an item.
func (c *Counters) delete(ctx context.Context, it item) error {
	_, err := c.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.table, Key: item{attrPK: it[attrPK], attrSK: it[attrSK]}})
	return err
}
