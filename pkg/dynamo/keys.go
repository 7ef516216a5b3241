package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// The attributes of an API key. Times are in Unix seconds; an absent one means
// never. The index lists the keys of an account.
const (
	attrHash    = "hash"
	attrAccount = "account"
	attrMode    = "mode"
	attrScopes  = "scopes"
	attrSince   = "created"
	attrUntil   = "until"
	attrRevoked = "revoked"
)

func apiKeyKey(id string) item { return itemKey("key/"+id, "key") }

func keysOfAccount(account string) string { return account + "/keys" }

// CreateKey stores a new API key. It returns an error if there is another key
// with the same id. CreateKey also lists a lead of the tenant, so that a new
// tenant has a total that lists can start from.
func (t *Table) CreateKey(ctx context.Context, k apikey.Key) error {
	if err := t.AddTenant(ctx, k.Tenant); err != nil {
		return err
	}
	if _, err := t.List(ctx, k.Tenant, lead.ListQuery{Limit: 1}); err != nil {
		return err
	}
	if err := t.writeFormat(ctx); err != nil {
		return err
	}
	// The condition never lets a put replace an item: an attempt that arrives
	// late must not restore a key that was revoked in the meantime.
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &t.name,
		Item:                                itemFromKey(k),
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failed):
		return toStoreError(err)
	}
	if stored, err := keyFromItem(k.ID, failed.Item); err != nil || stored.Hash != k.Hash {
		return fmt.Errorf("there is another API key with the id %s: create a new key", k.ID)
	}
	return nil // an earlier attempt of this call succeeded and its response was lost
}

// itemFromKey returns the item of an API key.
func itemFromKey(k apikey.Key) item {
	it := apiKeyKey(k.ID)
	it[attrTenant] = text(keysOfAccount(k.Tenant.Account))
	it[attrCreated] = text(k.CreatedAt.UTC().Format(time.RFC3339) + k.ID)
	it[attrHash] = &types.AttributeValueMemberB{Value: k.Hash[:]}
	it[attrAccount] = text(k.Tenant.Account)
	it[attrMode] = text(string(k.Tenant.Mode))
	it[attrScopes] = text(k.Scopes.String())
	for name, at := range map[string]time.Time{attrSince: k.CreatedAt, attrUntil: k.ExpiresAt, attrRevoked: k.RevokedAt} {
		if !at.IsZero() {
			it[name] = number(at.Unix())
		}
	}
	return it
}

// FindKey implements [apikey.Store] with one strongly consistent read. With
// [apikey.WarmUpID] that is the read of CheckFormat.
func (t *Table) FindKey(ctx context.Context, id string) (apikey.Key, error) {
	if id == apikey.WarmUpID {
		return apikey.Key{}, cmp.Or(t.CheckFormat(ctx), apikey.ErrNotFound)
	}
	it, err := t.getItem(ctx, apiKeyKey(id))
	if err != nil {
		return apikey.Key{}, err
	}
	if it == nil {
		return apikey.Key{}, apikey.ErrNotFound
	}
	return keyFromItem(id, it)
}

// ListKeys returns the keys of an account in both modes, the newest first. It
// includes revoked and expired keys.
func (t *Table) ListKeys(ctx context.Context, account string) ([]apikey.Key, error) {
	var keys []apikey.Key
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		IndexName:                 aws.String(indexName),
		KeyConditionExpression:    aws.String("tenant = :keys"),
		ExpressionAttributeValues: item{":keys": text(keysOfAccount(account))},
		ScanIndexForward:          aws.Bool(false),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			k, err := t.FindKey(ctx, strings.TrimPrefix(stringOf(it[attrPK]), "key/"))
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// RevokeKey revokes a key for good. If the key is revoked already, it keeps the
// earlier time. RevokeKey returns [apikey.ErrNotFound] if there is no such key.
func (t *Table) RevokeKey(ctx context.Context, id string, at time.Time) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       apiKeyKey(id),
		UpdateExpression:          aws.String("SET revoked = if_not_exists(revoked, :at)"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":at": number(at.Unix())},
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		return apikey.ErrNotFound
	case err != nil:
		return toStoreError(err)
	}
	return nil
}

// keyFromItem returns the API key that an item holds. It returns an error if an
// attribute is not as CreateKey writes it: a time that cannot be read must not
// mean never.
func keyFromItem(id string, it item) (apikey.Key, error) {
	k := apikey.Key{
		ID:     id,
		Tenant: lead.Tenant{Account: stringOf(it[attrAccount]), Mode: lead.Mode(stringOf(it[attrMode]))},
	}
	var err error
	if k.Scopes, err = apikey.ParseScopes(stringOf(it[attrScopes])); err != nil {
		return apikey.Key{}, fmt.Errorf("the stored API key %s has wrong scopes: %w", id, err)
	}
	for name, at := range map[string]*time.Time{attrSince: &k.CreatedAt, attrUntil: &k.ExpiresAt, attrRevoked: &k.RevokedAt} {
		a, ok := it[name]
		seconds := intOf(a)
		if ok && seconds == 0 {
			return apikey.Key{}, fmt.Errorf("the stored API key %s has a time %q that cannot be read", id, name)
		}
		if ok {
			*at = time.Unix(seconds, 0).UTC()
		}
	}
	hash, _ := it[attrHash].(*types.AttributeValueMemberB)
	if hash == nil || copy(k.Hash[:], hash.Value) != len(k.Hash) {
		return apikey.Key{}, fmt.Errorf("the stored API key %s has a hash that is not %d bytes long", id, len(k.Hash))
	}
	return k, nil
}
