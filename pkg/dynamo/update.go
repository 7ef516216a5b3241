package dynamo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// An update whose answer is lost is sent again, by the SDK or by us, perhaps
// after other updates came in between; it must not undo those. So each update
// leaves a nonce in the lead, and is refused where its own nonce stands
// already.
//
// A nonce is kept as long as an attempt may still arrive. Time is cut into
// eras of that length; the nonces of an era go into one of four sets, and the
// first update of an era removes the set before the last. Four sets and not
// three, so that a clock one era behind removes none that is still needed.
const (
	era  = 15 * time.Second
	eras = 4
)

const nonceName = "n" // and the number of the era's set

func eraSet(n int64) string { return nonceName + itoa(n%eras) }

// Update implements [lead.Store] with one write, and without a read but for a
// long precondition: fields that are not named stay as they are, also under
// concurrent updates.
func (t *Table) Update(ctx context.Context, tenant lead.Tenant, id lead.ID, changes []lead.Change, only lead.Precondition) (lead.Lead, error) {
	if len(changes) == 0 {
		return t.retrieveIf(ctx, tenant, id, only)
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	only, err := t.narrowed(ctx, tenant, id, only)
	if err != nil {
		return lead.Lead{}, err
	}

	now := t.Now()
	nonce := make([]byte, 8)
	rand.Read(nonce) // never fails, see crypto/rand
	current := now.Unix() / int64(era/time.Second)

	e := expression{names: map[string]string{}, values: item{}}
	set := []string{e.name(attrUpdated) + " = " + e.value(number(now.UnixMilli()))}
	remove := []string{e.name(eraSet(current + 2))}
	for _, c := range changes {
		f := &lead.Fields[c.Field]
		if c.Value == nil || c.Value == f.Default {
			remove = append(remove, e.name(f.Column))
		} else {
			set = append(set, e.name(f.Column)+" = "+e.value(attributeOf(c.Value)))
		}
	}
	update := "SET " + strings.Join(set, ", ") + " REMOVE " + strings.Join(remove, ", ") +
		" ADD " + e.name(attrVersion) + " " + e.value(number(1)) + ", " +
		e.name(eraSet(current)) + " " + e.value(&types.AttributeValueMemberBS{Value: [][]byte{nonce}})

	conditions := append([]string{"attribute_exists(pk)"}, e.precondition(only)...)
	own := e.value(&types.AttributeValueMemberB{Value: nonce})
	for i := range int64(eras) {
		conditions = append(conditions, "NOT contains("+e.name(eraSet(i))+", "+own+")")
	}

	out, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &t.name,
		Key:                                 leadKey(tenant, id),
		UpdateExpression:                    &update,
		ConditionExpression:                 aws.String(strings.Join(conditions, " AND ")),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return leadOf(out.Attributes), nil
	case !errors.As(err, &failed):
		return lead.Lead{}, fault(err)
	case failed.Item == nil:
		return lead.Lead{}, lead.ErrNotFound
	case hasNonce(failed.Item, nonce): // it took effect, and the answer was lost
		return leadOf(failed.Item), nil
	}
	return lead.Lead{}, lead.ErrPreconditionFailed
}

func hasNonce(it item, nonce []byte) bool {
	for i := range int64(eras) {
		set, _ := it[eraSet(i)].(*types.AttributeValueMemberBS)
		if set == nil {
			continue
		}
		for _, n := range set.Value {
			if bytes.Equal(n, nonce) {
				return true
			}
		}
	}
	return false
}
