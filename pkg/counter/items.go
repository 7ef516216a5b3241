package counter

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
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

// put stores items that can be computed again. So it tries once, and ignores
// errors.
func (c *Counters) put(ctx context.Context, items ...item) {
	for batch := range slices.Chunk(items, 25) {
		var writes []types.WriteRequest
		for _, it := range batch {
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
		}
		_, _ = c.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{c.table: writes},
		}, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
	}
}

// eachItem calls f for each counter item.
func (c *Counters) eachItem(ctx context.Context, prefix string, f func(item)) error {
	return c.eachPage(ctx, prefix, countersKind, itemRange{through: lastItem}, func(page []item, _ bool) error {
		for _, it := range page {
			f(it)
		}
		return nil
	})
}

// delete deletes an item.
func (c *Counters) delete(ctx context.Context, it item) error {
	_, err := c.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.table, Key: item{attrPK: it[attrPK], attrSK: it[attrSK]}})
	return err
}

// A rollup is the sum of the sealed counter items of a day, of all series. It
// names the rollup before it, so that a reader notices one that is lost. A day
// whose sum outgrows maxRollup has none, and no later day; they are read item by
// item.
const maxRollup = 350_000 // bytes; DynamoDB takes 400 KB

// rollups returns the rollups of the days after one and through another, which
// must be sealed. It makes those that are missing, some at a time, so that a
// reader that runs out of time leaves its work to the next.
func (c *Counters) rollups(ctx context.Context, prefix, after, through string) (days []item, err error) {
	last, chained := after, true
	err = c.eachPage(ctx, prefix, rollupKind, itemRange{after: endOf(after), through: endOf(through)}, func(page []item, _ bool) error {
		for _, it := range page {
			if chained = chained && stringOf(it[attrAfter]) <= last; chained {
				last = stringOf(it[attrSK])
				days = append(days, it)
			}
		}
		return nil
	})
	if err != nil || last == through {
		return days, err
	}
	var open item // the day that is being summed up
	var made []item
	store := true
	finish := func() {
		if open == nil {
			return
		}
		days = append(days, open)
		if store = store && sizeOf(open) <= maxRollup; store {
			made = append(made, open)
		}
	}
	err = c.eachPage(ctx, prefix, countersKind, itemRange{after: endOf(last), through: endOf(through)}, func(page []item, lastPage bool) error {
		for _, it := range page {
			if day := dayOf(windowOfItem(it)); open == nil || stringOf(open[attrSK]) != day {
				finish()
				open = itemKey(partition(prefix, rollupKind), day)
				open[attrAfter] = text(last)
				last = day
			}
			addToRollup(open, it)
		}
		if lastPage {
			finish()
		}
		c.put(ctx, made...)
		made = nil
		return nil
	})
	return days, err
}

// addToRollup adds the counts of a counter item that a rollup keeps: what was
// created, by day, and what was deducted.
func addToRollup(rollup, it item) {
	sortKey := stringOf(it[attrSK])
	for name, value := range it {
		letter, s, _, ok := spanOf(sortKey, name)
		switch {
		case !ok || letter == left:
			continue
		case letter == created:
			name = string(letter) + string(s)
		}
		rollup[name] = number(numberOf(rollup[name]) + numberOf(value))
	}
}
