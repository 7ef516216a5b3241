package dynamo

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Delete implements [lead.Store]. One transaction deletes the lead and its index
// rows and counts it as deleted. If the table has filters, Delete reads the lead
// first, to know its rows.
func (t *Table) Delete(ctx context.Context, tenant lead.Tenant, id lead.ID, precondition lead.Precondition) error {
	if len(t.Filters) == 0 {
		was, err := t.deleteLead(ctx, tenant, id, place{}, notIndexed, precondition)
		if err != nil || was == nil {
			return err
		}
		return t.deleteRead(ctx, tenant, id, was, precondition)
	}
	was, err := t.getItem(ctx, leadKey(tenant, id))
	if err != nil {
		return err
	}
	return t.deleteRead(ctx, tenant, id, was, precondition)
}

// deleteRead deletes a lead that was read as this item. If the lead has changed
// since, deleteRead tries again with the item as it is now.
func (t *Table) deleteRead(ctx context.Context, tenant lead.Tenant, id lead.ID, was item, precondition lead.Precondition) (err error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	for was != nil {
		l, indexed := t.leadFromItem(was), stringOf(was[attrIndexed])
		if !precondition.Holds(l.Version) {
			return lead.ErrPreconditionFailed
		}
		if was, err = t.deleteLead(ctx, tenant, id, placeOf(&l, indexed), indexed, atVersion(l.Version)); was == nil {
			return err
		}
	}
	return lead.ErrNotFound
}

// deleteLead deletes a lead and its index rows at this place. The condition is that
// the lead has rows in these indexes and that the precondition holds. If the
// condition is false, deleteLead returns the current item, or ErrNotFound.
func (t *Table) deleteLead(ctx context.Context, tenant lead.Tenant, id lead.ID, from place, indexed string, precondition lead.Precondition) (current item, err error) {
	condition := t.leadCondition(precondition).And(hasIndexed(indexed))
	expr, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return nil, err
	}
	deleteLead := types.TransactWriteItem{Delete: &types.Delete{
		TableName:                           &t.name,
		Key:                                 leadKey(tenant, id),
		ConditionExpression:                 expr.Condition(),
		ExpressionAttributeNames:            expr.Names(),
		ExpressionAttributeValues:           expr.Values(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
	err = t.writeTransaction(ctx, tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
		change := counter.NewChange(at)
		if indexed != "" {
			change.Count(counter.All, id.Time(), -1)
			change.Recent(id.Bytes(), false)
		}
		rows := t.moveLead(tenant, id, from, nil, change)
		return append([]types.TransactWriteItem{deleteLead}, rows...), change, nil
	})
	reason := cancellationReason(err, 0)
	switch {
	case !conditionFailed(reason):
		return nil, err
	case reason.Item == nil:
		return nil, lead.ErrNotFound
	}
	return reason.Item, nil
}

// atVersion is the precondition that a lead has this version.
func atVersion(version int64) lead.Precondition {
	return lead.Precondition{Match: &lead.Versions{List: []int64{version}}}
}

// hasIndexed is the condition that a lead has rows in these indexes and in no
// others. "" is for a lead of an older version.
func hasIndexed(indexed string) expression.ConditionBuilder {
	if indexed == "" {
		return expression.Name(attrIndexed).AttributeNotExists()
	}
	return expression.Name(attrIndexed).Equal(expression.Value(indexed))
}
