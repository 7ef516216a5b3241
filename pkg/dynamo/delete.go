package dynamo

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Delete implements [lead.Store] with one transaction: the lead goes, the book
// of now says so, and the book of its creation says which cell lost one.
func (t *Table) Delete(ctx context.Context, tenant lead.Tenant, id lead.ID, only lead.Precondition) error {
	only, err := t.narrowed(ctx, tenant, id, only)
	if err != nil {
		return err
	}
	e := expression{names: map[string]string{}, values: item{}}
	conditions := append([]string{"attribute_exists(pk)"}, e.precondition(only)...)
	gone := types.TransactWriteItem{Delete: &types.Delete{
		TableName:                           &t.name,
		Key:                                 leadKey(tenant, id),
		ConditionExpression:                 aws.String(strings.Join(conditions, " AND ")),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
	if len(e.values) > 0 {
		gone.Delete.ExpressionAttributeNames, gone.Delete.ExpressionAttributeValues = e.names, e.values
	}

	created, now := period(id.Time()), period(t.Now())
	cell, from := cellMark("x", cellOf(id.Time())), spanMark("d", created)
	writes := []types.TransactWriteItem{gone, {}}
	if created != now {
		writes = append(writes, types.TransactWriteItem{})
	}
	err = t.transact(ctx, writes, func(l *lane) {
		if created == now {
			writes[1] = t.book(tenant, l.book(now, 1, cell, from), 1, cell, from)
			return
		}
		writes[1] = t.book(tenant, l.book(now, 1, from), 1, from)
		writes[2] = t.book(tenant, l.lossBook(created), 1, cell)
	})

	switch lost := reason(err, 0); {
	case !has(lost, refused):
		return err
	case lost.Item == nil:
		return lead.ErrNotFound
	}
	return lead.ErrPreconditionFailed
}
