package dynamo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Create implements [lead.Store] with one transaction: the lead, its place in
// the books, and the record of the idempotency key stand together or not at
// all. Where another create with the key is under way it waits for that one's
// answer, and never returns [lead.ErrKeyInUse].
func (t *Table) Create(ctx context.Context, tenant lead.Tenant, values lead.Values, once lead.IdempotencyKey) (lead.Lead, bool, error) {
	now := t.Now()
	id := t.mint.Next(now)
	made := newLead(id, values)

	writes := []types.TransactWriteItem{t.put(tenant, &made), {}}
	if once.Key != "" {
		writes = append(writes, types.TransactWriteItem{Put: t.record(tenant, &made, once, now)})
	}
	cell := cellMark("c", cellOf(id.Time()))
	err := t.transact(ctx, writes, func(l *lane) {
		writes[1] = t.book(tenant, l.book(period(id.Time()), 1, cell), 1, cell)
	})

	switch record := reason(err, 2); {
	case has(record, refused):
		return replay(record.Item, made)
	case has(reason(err, 0), refused):
		// Nobody else has this id: an attempt of ours took effect and its
		// answer was lost.
		return made, false, nil
	}
	return made, false, err
}

func newLead(id lead.ID, values lead.Values) lead.Lead {
	created := id.Time()
	return lead.Lead{ID: id, CreatedAt: created, UpdatedAt: created, Version: 1, Values: values}
}

// put returns the write of a lead that is new.
func (t *Table) put(tenant lead.Tenant, made *lead.Lead) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName:           &t.name,
		Item:                itemOf(tenant, made),
		ConditionExpression: aws.String("attribute_not_exists(pk)"),
	}}
}

// The record of an idempotency key: the values as a hash, and the lead that
// was made of them. A replay answers from these and from what it was sent.
const (
	attrValues = "values"
	attrLead   = "lead"
)

func (t *Table) record(tenant lead.Tenant, made *lead.Lead, once lead.IdempotencyKey, now time.Time) *types.Put {
	name := sha256.Sum256([]byte(once.Source + "/" + once.Key))
	it := key(tenantName(tenant)+"/once/"+base64.RawURLEncoding.EncodeToString(name[:]), "once")
	it[attrValues] = &types.AttributeValueMemberB{Value: hash(made)}
	it[attrLead] = text(string(made.ID))
	it[attrExpires] = number(now.Add(once.TTL).Unix() + 1) // not a part of a second too early
	return &types.Put{
		TableName: &t.name,
		Item:      it,
		// DynamoDB removes what has expired days later; until then we do not
		// see it.
		ConditionExpression:                 aws.String("attribute_not_exists(pk) OR expires <= :now"),
		ExpressionAttributeValues:           item{":now": number(now.Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// hash returns a digest of the values of a lead: equal for equal values, in
// whatever way they were written.
func hash(made *lead.Lead) []byte {
	sum := sha256.Sum256((&lead.Lead{Values: made.Values}).AppendJSON(nil))
	return sum[:]
}

// replay answers a create whose key came before. It was to make a lead of the
// same values; what differs is the id and with it the time.
func replay(record item, made lead.Lead) (lead.Lead, bool, error) {
	first := lead.ID(stringOf(record[attrLead]))
	values, _ := record[attrValues].(*types.AttributeValueMemberB)
	switch {
	case first == made.ID: // a lost answer of our own
		return made, false, nil
	case values == nil || !bytes.Equal(values.Value, hash(&made)):
		return lead.Lead{}, false, lead.ErrKeyReused
	}
	return newLead(first, made.Values), true, nil
}
