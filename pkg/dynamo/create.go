package dynamo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Create implements [lead.Store]. It never returns [lead.ErrKeyInUse]: if another
// create with the same key is in progress, it waits for that.
func (t *Table) Create(ctx context.Context, tenant lead.Tenant, values lead.Values, key lead.IdempotencyKey) (l lead.Lead, replayed bool, err error) {
	result := t.CreateMany(ctx, tenant, []lead.CreateRequest{{Values: values, Key: key}})[0]
	return result.Lead, result.Replayed, result.Err
}

// newLead returns the first version of a lead.
func (t *Table) newLead(id lead.ID, values lead.Values) lead.Lead {
	created := id.Time()
	return lead.Lead{ID: id, CreatedAt: created, UpdatedAt: created, Version: 1 + t.VersionOffset, Values: values}
}

// putLead returns the write that stores a new lead.
func (t *Table) putLead(tenant lead.Tenant, l *lead.Lead) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName:           &t.name,
		Item:                itemFromLead(tenant, l, t.indexed()),
		ConditionExpression: aws.String("attribute_not_exists(pk)"),
	}}
}

// The attributes of an idempotency record: a hash of the values that the client
// sent, and the id of the lead that was created from them. A repeated create is
// answered from these and from the values that it sends again.
const (
	attrValues = "values"
	attrLead   = "lead"
)

// putIdempotencyRecord returns the write that stores the record of a key. Its
// condition is false while the key has a record that has not expired.
func (t *Table) putIdempotencyRecord(tenant lead.Tenant, l *lead.Lead, key lead.IdempotencyKey, now time.Time) types.TransactWriteItem {
	record := idempotencyRecordKey(tenant, key)
	record[attrValues] = &types.AttributeValueMemberB{Value: hashValues(l)}
	record[attrLead] = text(string(l.ID))
	record[attrExpires] = number(now.Add(key.TTL).Unix() + 1) // rounded up
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &t.name,
		Item:      record,
		// DynamoDB deletes expired items up to days later.
		ConditionExpression:                 aws.String("attribute_not_exists(pk) OR expires <= :now"),
		ExpressionAttributeValues:           item{":now": number(now.Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

func idempotencyRecordKey(tenant lead.Tenant, key lead.IdempotencyKey) item {
	name := sha256.Sum256([]byte(key.Source + "/" + key.Key))
	return itemKey(tenantName(tenant)+"/once/"+base64.RawURLEncoding.EncodeToString(name[:]), "once")
}

// FindCreated returns for each request the id of the lead that was created with its
// idempotency key, even if the lead was deleted since, or "" if the key is not known.
func (t *Table) FindCreated(ctx context.Context, tenant lead.Tenant, requests []lead.CreateRequest) ([]lead.ID, error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	keys := make([]item, len(requests))
	for i, r := range requests {
		keys[i] = idempotencyRecordKey(tenant, r.Key)
	}
	records, err := t.getItems(ctx, keys)
	ids := make([]lead.ID, len(records))
	for i, record := range records {
		if intOf(record[attrExpires]) > t.Now().Unix() {
			ids[i] = lead.ID(stringOf(record[attrLead]))
		}
	}
	return ids, err
}

// RetrieveMany returns those of the leads that exist.
func (t *Table) RetrieveMany(ctx context.Context, tenant lead.Tenant, ids []lead.ID) ([]lead.Lead, error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	return t.fetchLeads(ctx, tenant, ids)
}

// hashValues returns a hash that is equal for equal values, whatever JSON the
// client wrote them in. It covers only the values that are not the default, by the
// names under which they are stored, so that it stays the same when a later
// version adds or reorders fields: both versions can have the same key to check.
func hashValues(l *lead.Lead) []byte {
	var lines []string
	for i := range lead.Fields {
		if f := &lead.Fields[i]; l.Values[i] != f.Default {
			value := fmt.Sprint(l.Values[i])
			lines = append(lines, fmt.Sprintf("%s %d %s\n", f.Column, len(value), value))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return sum[:]
}

// replayCreate returns the result of a create whose idempotency key has a record
// already. The arguments are the record and the lead that would have been
// created.
func replayCreate(record item, created lead.Lead) (l lead.Lead, replayed bool, err error) {
	first := lead.ID(stringOf(record[attrLead]))
	hash, _ := record[attrValues].(*types.AttributeValueMemberB)
	switch {
	case first == created.ID:
		// An earlier attempt of this call succeeded and its response was lost.
		return created, false, nil
	case hash == nil || !bytes.Equal(hash.Value, hashValues(&created)):
		return lead.Lead{}, false, lead.ErrKeyReused
	}
	created.ID, created.CreatedAt, created.UpdatedAt = first, first.Time(), first.Time()
	return created, true, nil
}
