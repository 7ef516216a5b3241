package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Delete implements [lead.Store]. One transaction deletes the lead, counts a
// deleted lead now, and counts a removed lead in the window of its creation.
func (t *Table) Delete(ctx context.Context, tenant lead.Tenant, id lead.ID, precondition lead.Precondition) error {
	if err := validatePrecondition(precondition); err != nil {
		return err
	}
	expr, err := expression.NewBuilder().WithCondition(leadCondition(precondition)).Build()
	if err != nil {
		return err
	}
	deleteLead := types.TransactWriteItem{Delete: &types.Delete{
		TableName:                           &t.name,
		Key:                                 leadKey(tenant, id),
		ConditionExpression:                 expr.Condition(),
		ExpressionAttributeNames:            expr.Names(),
		ExpressionAttributeValues:           expr.Values(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
	now := period(t.Now())
	err = t.writeTransaction(ctx, []types.TransactWriteItem{deleteLead}, func(shard *lane) []types.TransactWriteItem {
		return t.countDeleted(tenant, shard, id, now)
	})

	reason := cancellationReason(err, 0)
	switch {
	case !conditionFailed(reason):
		return err
	case reason.Item == nil:
		return lead.ErrNotFound
	}
	return lead.ErrPreconditionFailed
}

// countDeleted returns the writes that count one lead less. They are in one
// counter item if the lead was created in the current window.
func (t *Table) countDeleted(tenant lead.Tenant, shard *lane, id lead.ID, now string) []types.TransactWriteItem {
	created := period(id.Time())
	cell, from := cellMark("x", cellOf(id.Time())), spanMark("d", created)
	if created == now {
		return []types.TransactWriteItem{t.book(tenant, shard.book(now, 1, cell, from), 1, cell, from)}
	}
	return []types.TransactWriteItem{
		t.book(tenant, shard.book(now, 1, from), 1, from),
		t.book(tenant, shard.lossBook(created), 1, cell),
	}
}
