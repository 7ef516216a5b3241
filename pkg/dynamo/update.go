package dynamo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// An update whose response is lost is sent again, by the SDK or by the client,
// maybe after other updates. It must not undo those. So each update adds a nonce
// to the lead, and its condition is false if the lead has the nonce already.
//
// A nonce is kept as long as an attempt may still arrive. Time is divided into
// eras of that length. The nonces of an era are in one of four sets. The first
// update of an era removes the set of the era before the last. There are four
// sets and not three, so that a clock that is one era slow does not remove a set
// that is still needed.
const (
	era       = 15 * time.Second
	nonceSets = 4
)

// nonceSet returns the name of the attribute with the nonces of an era.
func nonceSet(era int64) string { return "n" + itoa(era%nonceSets) }

// Update implements [lead.Store] with one write and no read. Fields that are not
// in changes stay as they are, even if another update changes them at the same
// time.
func (t *Table) Update(ctx context.Context, tenant lead.Tenant, id lead.ID, changes []lead.Change, precondition lead.Precondition) (lead.Lead, error) {
	if err := validatePrecondition(precondition); err != nil {
		return lead.Lead{}, err
	}
	if len(changes) == 0 {
		return t.retrieveMatching(ctx, tenant, id, precondition)
	}
	nonce := make([]byte, 8)
	rand.Read(nonce) // never fails, see crypto/rand
	expr, err := updateExpression(changes, precondition, nonce, t.Now())
	if err != nil {
		return lead.Lead{}, err
	}

	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	out, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &t.name,
		Key:                                 leadKey(tenant, id),
		UpdateExpression:                    expr.Update(),
		ConditionExpression:                 expr.Condition(),
		ExpressionAttributeNames:            expr.Names(),
		ExpressionAttributeValues:           expr.Values(),
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return leadFromItem(out.Attributes), nil
	case !errors.As(err, &failed):
		return lead.Lead{}, toStoreError(err)
	case failed.Item == nil:
		return lead.Lead{}, lead.ErrNotFound
	case hasNonce(failed.Item, nonce):
		// An earlier attempt of this call succeeded and its response was lost.
		return leadFromItem(failed.Item), nil
	}
	return lead.Lead{}, lead.ErrPreconditionFailed
}

// updateExpression returns the expressions that change a lead once.
func updateExpression(changes []lead.Change, precondition lead.Precondition, nonce []byte, now time.Time) (expression.Expression, error) {
	current := now.Unix() / int64(era/time.Second)
	update := expression.
		Set(expression.Name(attrUpdated), expression.Value(number(now.UnixMilli()))).
		Add(expression.Name(attrVersion), expression.Value(number(1))).
		Add(expression.Name(nonceSet(current)), expression.Value(&types.AttributeValueMemberBS{Value: [][]byte{nonce}})).
		Remove(expression.Name(nonceSet(current + 2)))
	for _, c := range changes {
		f := &lead.Fields[c.Field]
		if c.Value == nil || c.Value == f.Default {
			update = update.Remove(expression.Name(f.Column))
		} else {
			update = update.Set(expression.Name(f.Column), expression.Value(attributeOf(c.Value)))
		}
	}
	condition := leadCondition(precondition)
	for i := range int64(nonceSets) {
		condition = condition.And(expression.Name(nonceSet(i)).Contains(nonce).Not())
	}
	return expression.NewBuilder().WithUpdate(update).WithCondition(condition).Build()
}

// hasNonce reports whether one of the sets of a lead has the nonce.
func hasNonce(it item, nonce []byte) bool {
	for i := range int64(nonceSets) {
		set, _ := it[nonceSet(i)].(*types.AttributeValueMemberBS)
		if set != nil && slices.ContainsFunc(set.Value, func(n []byte) bool { return bytes.Equal(n, nonce) }) {
			return true
		}
	}
	return false
}
