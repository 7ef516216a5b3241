package dynamo

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// The attributes of an API key beside its key and its place in the index, which
// lists the keys of an account. Times are in Unix seconds; one that is absent is
// never.
const (
	attrHash    = "hash"
	attrAccount = "account"
	attrMode    = "mode"
	attrScopes  = "scopes"
	attrSince   = "created"
	attrUntil   = "until"
	attrRevoked = "revoked"
)

func keyOf(id string) item { return key("key/"+id, "key") }

// CreateKey stores a new API key. It brings the balance of the key's tenant
// forward, so that a new tenant begins with one.
func (t *Table) CreateKey(ctx context.Context, k apikey.Key) error {
	if _, err := t.statement(ctx, k.Tenant); err != nil {
		return err
	}
	copied := recordOf(k)
	it := keyOf(k.ID)
	maps.Copy(it, copied)
	it[attrTenant] = text(k.Tenant.Account + "/keys")
	it[attrCreated] = text(k.CreatedAt.UTC().Format(time.RFC3339) + k.ID)
	put := types.Put{
		TableName: &t.name,
		Item:      it,
		// Or an attempt of ours took effect, and its answer was lost.
		ConditionExpression:       aws.String("attribute_not_exists(pk) OR #hash = :hash"),
		ExpressionAttributeNames:  map[string]string{"#hash": attrHash},
		ExpressionAttributeValues: item{":hash": it[attrHash]},
	}
	return t.transact(ctx, []types.TransactWriteItem{{Put: &put}}, noBooks)
}

// noBooks is for transactions that write to no book.
func noBooks(*lane) {}

// recordOf returns what is stored of a key, but for its place.
func recordOf(k apikey.Key) item {
	it := item{
		attrHash:    &types.AttributeValueMemberB{Value: k.Hash[:]},
		attrAccount: text(k.Tenant.Account),
		attrMode:    text(string(k.Tenant.Mode)),
		attrScopes:  text(k.Scopes.String()),
	}
	for name, at := range map[string]time.Time{attrSince: k.CreatedAt, attrUntil: k.ExpiresAt, attrRevoked: k.RevokedAt} {
		if !at.IsZero() {
			it[name] = number(at.Unix())
		}
	}
	return it
}

// FindKey implements [apikey.Store] with one strongly consistent read.
func (t *Table) FindKey(ctx context.Context, id string) (apikey.Key, error) {
	it, err := t.get(ctx, keyOf(id))
	if err != nil {
		return apikey.Key{}, err
	}
	if it == nil {
		return apikey.Key{}, apikey.ErrNotFound
	}
	return keyFrom(id, it)
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
	revoke := types.Update{
		TableName:                 &t.name,
		Key:                       keyOf(id),
		UpdateExpression:          aws.String("SET revoked = if_not_exists(revoked, :at)"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":at": number(at.Unix())},
	}
	err := t.transact(ctx, []types.TransactWriteItem{{Update: &revoke}}, noBooks)
	if has(reason(err, 0), refused) {
		return apikey.ErrNotFound
	}
	return err
}

// keyFrom reads an item of an API key. Where an attribute is not as CreateKey
// writes it, the key is refused: a time that cannot be read must not be never.
func keyFrom(id string, it item) (apikey.Key, error) {
	k := apikey.Key{
		ID:     id,
		Tenant: lead.Tenant{Account: stringOf(it[attrAccount]), Mode: lead.Mode(stringOf(it[attrMode]))},
	}
	var err error
	if k.Scopes, err = apikey.ParseScopes(stringOf(it[attrScopes])); err != nil {
		return apikey.Key{}, fmt.Errorf("API key %s as stored: %w", id, err)
	}
	for name, at := range map[string]*time.Time{attrSince: &k.CreatedAt, attrUntil: &k.ExpiresAt, attrRevoked: &k.RevokedAt} {
		a, ok := it[name]
		seconds := intOf(a)
		if ok && seconds == 0 {
			return apikey.Key{}, fmt.Errorf("API key %s as stored: its time %q cannot be read", id, name)
		}
		if ok {
			*at = time.Unix(seconds, 0).UTC()
		}
	}
	hash, _ := it[attrHash].(*types.AttributeValueMemberB)
	if hash == nil || copy(k.Hash[:], hash.Value) != len(k.Hash) {
		return apikey.Key{}, fmt.Errorf("API key %s as stored: its hash is not of %d bytes", id, len(k.Hash))
	}
	return k, nil
}
