package dynamo

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Reindex is how a change of [Table.Filters] reaches the leads that exist.
type Reindex struct {
	Tenant lead.Tenant

	// After is where to go on: an id that Progress was called with. "" is the
	// beginning.
	After lead.ID

	// Progress is called now and then with how many leads were read and changed,
	// and the last that is done.
	Progress func(read, changed int64, last lead.ID)
}

// reindexWriters is how many leads are changed at the same time.
const reindexWriters = 8

// Reindex gives each lead of a tenant the index rows and counts that the filters of
// this table need, and takes others away. It counts the leads that an older
// version created, which had other counters. The API may go on serving, also with
// other filters: each lead says which rows it has. Call Reindex when all processes
// have the new filters.
//
// A lead that needs no change costs 1 read unit, and one that does at most 12
// write units more.
func (t *Table) Reindex(ctx context.Context, r Reindex) error {
	after := ""
	if r.After != "" {
		after = createdAt(r.After)
	}
	if err := t.AddTenant(ctx, r.Tenant); err != nil {
		return err
	}
	var read, changed atomic.Int64
	for more := true; more; {
		items, last, hasMore, err := t.nextItems(ctx, r.Tenant, after, endOfIndex)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(reindexWriters)
		for _, it := range items {
			read.Add(1)
			if stringOf(it[attrIndexed]) == t.indexed() {
				continue
			}
			changed.Add(1)
			group.Go(func() error { return t.reindexLead(ctx, r.Tenant, it) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if len(items) > 0 {
			r.Progress(read.Load(), changed.Load(), leadID(items[len(items)-1]))
		}
		after, more = last, hasMore
	}
	return nil
}

// reindexLead changes the index rows of a lead that was read as this item, and
// again as the item that stands in its place if the lead has changed.
func (t *Table) reindexLead(ctx context.Context, tenant lead.Tenant, was item) error {
	id, to := leadID(was), t.indexed()
	for was != nil && stringOf(was[attrIndexed]) != to {
		l, indexed := t.leadFromItem(was), stringOf(was[attrIndexed])
		expr, err := expression.NewBuilder().
			WithUpdate(expression.Set(expression.Name(attrIndexed), expression.Value(to))).
			WithCondition(t.leadCondition(atVersion(l.Version)).And(hasIndexed(indexed))).Build()
		if err != nil {
			return err
		}
		update := types.TransactWriteItem{Update: &types.Update{
			TableName:                           &t.name,
			Key:                                 leadKey(tenant, id),
			UpdateExpression:                    expr.Update(),
			ConditionExpression:                 expr.Condition(),
			ExpressionAttributeNames:            expr.Names(),
			ExpressionAttributeValues:           expr.Values(),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}}
		err = t.writeTransaction(ctx, tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
			change := counter.NewChange(at)
			if indexed == "" {
				change.Count(counter.All, id.Time(), 1)
			}
			rows := t.moveLead(tenant, id, placeOf(&l, indexed), placeOf(&l, to), change)
			return append([]types.TransactWriteItem{update}, rows...), change, nil
		})
		reason := cancellationReason(err, 0)
		if !conditionFailed(reason) {
			return err
		}
		was = reason.Item
	}
	return nil
}
