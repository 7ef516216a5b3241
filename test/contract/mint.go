package contract

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// A KeyStore takes new API keys.
type KeyStore interface {
	CreateKey(ctx context.Context, key apikey.Key) error
}

// MintKeys makes every key that the scripts use, for two new accounts, and
// puts them into store: the keys of a target whose table a test can reach.
// Elsewhere `leads keys create` makes them.
func MintKeys(ctx context.Context, store KeyStore) (map[string]string, error) {
	const both = apikey.Read | apikey.Write
	account := "contract-" + strings.ToLower(rand.Text()[:12])
	main := lead.Tenant{Account: account, Mode: lead.Test}
	now := time.Now()
	past := now.Add(-time.Hour)

	texts := make(map[string]string)
	for _, k := range []struct {
		name             string
		tenant           lead.Tenant
		scopes           apikey.Scopes
		expires, revoked time.Time
	}{
		{name: Main, tenant: main, scopes: both},
		{name: OtherMode, tenant: lead.Tenant{Account: account, Mode: lead.Live}, scopes: both},
		{name: OtherAccount, tenant: lead.Tenant{Account: account + "-other", Mode: lead.Test}, scopes: both},
		{name: ReadOnly, tenant: main, scopes: apikey.Read},
		{name: WriteOnly, tenant: main, scopes: apikey.Write},
		{name: Revoked, tenant: main, scopes: both, revoked: past},
		{name: Expired, tenant: main, scopes: both, expires: past},
	} {
		text, key := apikey.NewKey(k.tenant, k.scopes, past.Add(-time.Hour), k.expires)
		key.RevokedAt = k.revoked
		if err := store.CreateKey(ctx, key); err != nil {
			return nil, err
		}
		texts[k.name] = text
	}
	return texts, nil
}
