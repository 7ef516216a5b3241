package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// keyItem is the item of an API key. Times are in Unix seconds, 0 for never.
// Its place in the index lists the keys of an account.
type keyItem struct {
	PK        string `dynamodbav:"pk"`
	SK        string `dynamodbav:"sk"`
	Index     string `dynamodbav:"tenant"`
	CreatedAt string `dynamodbav:"created_at"`

	Hash    []byte `dynamodbav:"hash"`
	Account string `dynamodbav:"account"`
	Mode    string `dynamodbav:"mode"`
	Scopes  string `dynamodbav:"scopes"`
	Created int64  `dynamodbav:"created"`
	Until   int64  `dynamodbav:"until,omitempty"`
	Revoked int64  `dynamodbav:"revoked,omitempty"`
}

func keyOf(id string) item { return key("key/"+id, "key") }

// CreateKey stores a new API key. It brings the balance of the key's tenant
// forward, so that a new tenant begins with one.
func (t *Table) CreateKey(ctx context.Context, k apikey.Key) error {
	it, err := attributevalue.MarshalMap(keyItem{
		PK:        "key/" + k.ID,
		SK:        "key",
		Index:     k.Tenant.Account + "/keys",
		CreatedAt: k.CreatedAt.UTC().Format(time.RFC3339) + k.ID,
		Hash:      k.Hash[:],
		Account:   k.Tenant.Account,
		Mode:      string(k.Tenant.Mode),
		Scopes:    k.Scopes.String(),
		Created:   unix(k.CreatedAt),
		Until:     unix(k.ExpiresAt),
		Revoked:   unix(k.RevokedAt),
	})
	if err != nil {
		return err
	}
	if _, err := t.statement(ctx, k.Tenant); err != nil {
		return err
	}
	_, err = t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name,
		Item:      it,
		// Or an attempt of ours took effect, and its answer was lost.
		ConditionExpression:       aws.String("attribute_not_exists(pk) OR #hash = :hash"),
		ExpressionAttributeNames:  map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: item{":hash": it["hash"]},
	})
	return err
}

// FindKey implements [apikey.Store] with one strongly consistent read.
func (t *Table) FindKey(ctx context.Context, id string) (apikey.Key, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &t.name,
		Key:            keyOf(id),
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return apikey.Key{}, fault(err)
	}
	if out.Item == nil {
		return apikey.Key{}, apikey.ErrNotFound
	}
	return keyFrom(id, out.Item)
}

// ListKeys returns the keys of an account, in both modes, revoked and expired
// ones too, the newest first.
func (t *Table) ListKeys(ctx context.Context, account string) ([]apikey.Key, error) {
	var keys []apikey.Key
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		IndexName:                 aws.String(indexName),
		KeyConditionExpression:    aws.String("tenant = :keys"),
		ExpressionAttributeValues: item{":keys": text(account + "/keys")},
		ScanIndexForward:          aws.Bool(false),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			k, err := t.FindKey(ctx, stringOf(it[attrPK])[len("key/"):])
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// RevokeKey ends a key for good. A key that is revoked already keeps its time.
// It returns [apikey.ErrNotFound] where there is no such key.
func (t *Table) RevokeKey(ctx context.Context, id string, at time.Time) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       keyOf(id),
		UpdateExpression:          aws.String("SET revoked = if_not_exists(revoked, :at)"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":at": number(at.Unix())},
	})
	var absent *types.ConditionalCheckFailedException
	if errors.As(err, &absent) {
		return apikey.ErrNotFound
	}
	return err
}

func keyFrom(id string, it item) (apikey.Key, error) {
	var k keyItem
	if err := attributevalue.UnmarshalMap(it, &k); err != nil {
		return apikey.Key{}, fmt.Errorf("API key %s as stored: %w", id, err)
	}
	scopes, err := apikey.ParseScopes(k.Scopes)
	if err != nil {
		return apikey.Key{}, fmt.Errorf("API key %s as stored: %w", id, err)
	}
	found := apikey.Key{
		ID:        id,
		Tenant:    lead.Tenant{Account: k.Account, Mode: lead.Mode(k.Mode)},
		Scopes:    scopes,
		CreatedAt: fromUnix(k.Created),
		ExpiresAt: fromUnix(k.Until),
		RevokedAt: fromUnix(k.Revoked),
	}
	if copy(found.Hash[:], k.Hash) != len(found.Hash) {
		return apikey.Key{}, fmt.Errorf("API key %s as stored: its hash is %d bytes long", id, len(k.Hash))
	}
	return found, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
