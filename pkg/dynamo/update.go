package dynamo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// An update whose response is lost is sent again, by this package or by the
// client, maybe after other updates. It must not undo those. So each update adds a
// nonce to the lead, and its condition is false if the lead has the nonce already.
//
// A nonce is kept as long as another attempt may arrive. Time is divided into
// periods of 15 seconds, called eras. The nonces of an era are in one of four
// sets. The first update of an era removes the set of the era before the last.
// There are four sets and not three, so that a clock that is one era slow does
// not remove a set that is still needed.
//
// The time that chooses the set also signs the request, and DynamoDB accepts a
// signature for 15 minutes. An attempt that the network held back for longer than
// the nonces are kept is refused, because the lead has been changed since: the
// condition of an update is false if the last change of the lead is later than its
// own time by more than maxDelayed.
const (
	era       = 15 * time.Second
	nonceSets = 4

	// maxDelayed is how long the last attempt of an update can come after its
	// time. It is shorter than an era by more than the difference of two clocks,
	// which is at most twice [counter.MaxDrift].
	maxDelayed = retryTimeout
)

// nonceSet returns the name of the attribute with the nonces of an era.
func nonceSet(era int64) string { return "n" + itoa(era%nonceSets) }

// Update implements [lead.Store]. It is one write and no read, unless a field
// changes that lists are filtered by. Fields that are not in changes stay as they
// are, even if another update changes them at the same time.
func (t *Table) Update(ctx context.Context, tenant lead.Tenant, id lead.ID, changes []lead.Change, precondition lead.Precondition) (lead.Lead, error) {
	if len(changes) == 0 {
		return t.retrieveMatching(ctx, tenant, id, precondition)
	}
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	u := t.newUpdate(tenant, id, changes)

	// Another process may have a filter that this one does not have, so the lead
	// may have rows nevertheless.
	withoutRows := expression.ConditionBuilder{}
	known := true
	for _, field := range filterFields() {
		if !slices.ContainsFunc(changes, func(c lead.Change) bool { return c.Field == field }) {
			continue
		}
		known = known && !t.hasFilter(field)
		withoutRows = and(withoutRows, expression.Name(attrIndexed).Contains(lead.Fields[field].Column).Not())
	}
	var was item
	if known {
		updated, failed, err := u.updateItem(ctx, and(t.leadCondition(precondition), withoutRows), nil)
		if err != nil || failed == nil {
			return updated, err
		}
		was = failed
	} else {
		read, err := t.getItem(ctx, leadKey(tenant, id))
		if err != nil {
			return lead.Lead{}, err
		}
		if was = read; was == nil {
			return lead.Lead{}, lead.ErrNotFound
		}
	}
	return u.updateRead(ctx, was, precondition)
}

// update is an update of one lead.
type update struct {
	t       *Table
	tenant  lead.Tenant
	id      lead.ID
	changes []lead.Change
	nonce   []byte
	with    []types.TransactWriteItem // more writes of the same transaction, if any

	// unknown is the time of the first attempt whose outcome is unknown.
	unknown time.Time
}

func (t *Table) newUpdate(tenant lead.Tenant, id lead.ID, changes []lead.Change) *update {
	u := &update{t: t, tenant: tenant, id: id, changes: changes, nonce: make([]byte, 8)}
	rand.Read(u.nonce) // never fails, see crypto/rand
	return u
}

// updateRead updates a lead that was read as this item. If the lead has
// changed since, it tries again with the item as it is then.
func (u *update) updateRead(ctx context.Context, was item, precondition lead.Precondition) (lead.Lead, error) {
	for attempt := 1; ; attempt++ {
		updated, failed, err := u.updateUnchanged(ctx, was, precondition)
		if err != nil || failed == nil {
			return updated, err
		}
		if err := u.t.waitBeforeRetry(ctx, attempt, nil); err != nil {
			return lead.Lead{}, toStoreError(err)
		}
		was = failed
	}
}

// updateUnchanged updates a lead that was read as this item. If the lead has
// changed, it returns the item as it is, or ErrNotFound.
func (u *update) updateUnchanged(ctx context.Context, was item, precondition lead.Precondition) (updated lead.Lead, failed item, err error) {
	l, indexed := u.t.leadFromItem(was), stringOf(was[attrIndexed])
	if !precondition.Holds(l.Version) {
		return lead.Lead{}, nil, lead.ErrPreconditionFailed
	}
	unchanged := u.t.leadCondition(atVersion(l.Version)).And(hasIndexed(indexed))
	from := placeOf(&l, indexed)
	l.Values.Apply(u.changes)
	to := placeOf(&l, indexed)
	if len(u.with) == 0 && maps.Equal(from, to) {
		return u.updateItem(ctx, unchanged, was)
	}
	return u.moveItem(ctx, unchanged, was, l, from, to)
}

// conditionFalse is the result of an attempt whose condition was false for this
// item.
func (u *update) conditionFalse(is item) (updated lead.Lead, failed item, err error) {
	if is == nil {
		return lead.Lead{}, nil, lead.ErrNotFound
	}
	l := u.t.leadFromItem(is)
	switch {
	case hasNonce(is, u.nonce):
		// An earlier attempt of this call succeeded and its response was lost.
		return l, nil, nil
	case !u.unknown.IsZero() && l.UpdatedAt.After(u.unknown.Add(maxDelayed)):
		// The earlier attempt may have succeeded, and its nonce may be gone.
		err := errors.New("the outcome of an update is unknown, and the lead was changed later")
		return lead.Lead{}, nil, &lead.UnavailableError{RetryAfter: retryAfter, Err: err}
	}
	return lead.Lead{}, is, nil
}

// updateItem updates the lead alone. was is the lead as it was read, if the
// condition is that it has not changed since. If the condition is false, updateItem
// returns the item as it is, or ErrNotFound.
//
// An attempt with an unknown outcome is repeated with the same time, so that it
// has its nonce in the same set. Others are repeated with the time that the answer
// corrected.
func (u *update) updateItem(ctx context.Context, condition expression.ConditionBuilder, was item) (updated lead.Lead, failed item, err error) {
	var at time.Time
	outcomeUnknown := false
	for attempt := 1; ; attempt++ {
		if !outcomeUnknown {
			at = u.t.clock.Now()
		}
		expr, err := u.expression(at, condition, was)
		if err != nil {
			return lead.Lead{}, nil, err
		}
		out, err := u.t.client.UpdateItem(withSigningTime(ctx, at), &dynamodb.UpdateItemInput{
			TableName:                           &u.t.name,
			Key:                                 leadKey(u.tenant, u.id),
			UpdateExpression:                    expr.Update(),
			ConditionExpression:                 expr.Condition(),
			ExpressionAttributeNames:            expr.Names(),
			ExpressionAttributeValues:           expr.Values(),
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, withoutRetries)
		if err == nil {
			u.t.clock.ObserveAnswer(out.ResultMetadata)
			return u.t.leadFromItem(out.Attributes), nil, nil
		}
		u.t.clock.Observe(dateOfError(err))
		var refused *types.ConditionalCheckFailedException
		late := isSignatureLate(err, at)
		switch {
		case errors.As(err, &refused):
			return u.conditionFalse(refused.Item)
		case late && outcomeUnknown:
			return lead.Lead{}, nil, &lead.UnavailableError{RetryAfter: retryAfter, Err: err}
		case late: // the clock is corrected now
		case !u.t.client.Options().Retryer.IsErrorRetryable(err):
			return lead.Lead{}, nil, toStoreError(err)
		default:
			outcomeUnknown = true
			if u.unknown.IsZero() {
				u.unknown = at
			}
		}
		if u.t.waitBeforeRetry(ctx, attempt, err) != nil {
			return lead.Lead{}, nil, toStoreError(err)
		}
	}
}

// moveItem updates the lead, moves its index rows and makes the writes of u.with, in
// one transaction. The lead has its new values. If the condition is false, moveItem
// returns the item as it is, or ErrNotFound.
func (u *update) moveItem(ctx context.Context, condition expression.ConditionBuilder, was item, l lead.Lead, from, to place) (updated lead.Lead, failed item, err error) {
	err = u.t.writeTransaction(ctx, u.tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
		expr, err := u.expression(at, condition, was)
		if err != nil {
			return nil, nil, err
		}
		l.UpdatedAt = time.UnixMilli(max(at.UnixMilli(), intOf(was[attrUpdated]))).UTC()
		change := counter.NewChange(at)
		rows := u.t.moveLead(u.tenant, u.id, from, to, change)
		return slices.Concat([]types.TransactWriteItem{{Update: &types.Update{
			TableName:                           &u.t.name,
			Key:                                 leadKey(u.tenant, u.id),
			UpdateExpression:                    expr.Update(),
			ConditionExpression:                 expr.Condition(),
			ExpressionAttributeNames:            expr.Names(),
			ExpressionAttributeValues:           expr.Values(),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}}}, u.with, rows), change, nil
	})
	reason := cancellationReason(err, 0)
	switch {
	case err == nil:
		l.Version++
		return l, nil, nil
	case !conditionFailed(reason):
		return lead.Lead{}, nil, err
	}
	// No earlier attempt succeeded, because all have the same client token.
	return u.conditionFalse(reason.Item)
}

// expression returns the expressions that change the lead once, if the condition
// is true. was is the lead if the condition is that it has not changed since. Then
// the time of its last change is not set back. Otherwise that time must not be much
// later than now.
func (u *update) expression(now time.Time, condition expression.ConditionBuilder, was item) (expression.Expression, error) {
	current := now.Unix() / int64(era/time.Second)
	if was == nil {
		condition = and(condition, expression.Name(attrUpdated).LessThanEqual(expression.Value(number(now.Add(maxDelayed).UnixMilli()))))
	}
	update := expression.
		Set(expression.Name(attrUpdated), expression.Value(number(max(now.UnixMilli(), intOf(was[attrUpdated]))))).
		Add(expression.Name(attrVersion), expression.Value(number(1))).
		Add(expression.Name(nonceSet(current)), expression.Value(&types.AttributeValueMemberBS{Value: [][]byte{u.nonce}})).
		Remove(expression.Name(nonceSet(current + 2)))
	for _, c := range u.changes {
		f := &lead.Fields[c.Field]
		if c.Value == nil || c.Value == f.Default {
			update = update.Remove(expression.Name(f.Column))
		} else {
			update = update.Set(expression.Name(f.Column), expression.Value(attributeOf(c.Value)))
		}
	}
	for i := range int64(nonceSets) {
		condition = condition.And(expression.Name(nonceSet(i)).Contains(u.nonce).Not())
	}
	return expression.NewBuilder().WithUpdate(update).WithCondition(condition).Build()
}

// and returns the condition that both are true. An unset one is always true.
func and(a, b expression.ConditionBuilder) expression.ConditionBuilder {
	switch {
	case !a.IsSet():
		return b
	case !b.IsSet():
		return a
	}
	return a.And(b)
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
