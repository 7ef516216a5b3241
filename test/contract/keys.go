package contract

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// The names of the keys that a target gives to the scripts.
const (
	Main         = "main"          // both scopes; the other keys are described relative to it
	OtherMode    = "other-mode"    // main's account, the other mode
	OtherAccount = "other-account" // another account, main's mode
	ReadOnly     = "read-only"     // main's account and mode, scope read
	WriteOnly    = "write-only"    // main's account and mode, scope write
	Revoked      = "revoked"       // main's account and mode, revoked at least 30 seconds ago
	Expired      = "expired"       // main's account and mode, expired

	noKey = "none" // sends no key
)

// KeyNames lists the names of all keys.
var KeyNames = []string{Main, OtherMode, OtherAccount, ReadOnly, WriteOnly, Revoked, Expired}

// KeyVariable returns the environment variable in which TestScripts expects the
// key of this name: LEADS_KEY for main, else such as LEADS_KEY_READ_ONLY.
func KeyVariable(name string) string {
	if name == Main {
		return "LEADS_KEY"
	}
	return "LEADS_KEY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// CreateKeys creates every key that the scripts use, for two new accounts, and
// returns them by name. It is for targets whose table a test can reach; for
// others use `leads keys create`.
func CreateKeys(ctx context.Context, store interface {
	CreateKey(context.Context, apikey.Key) error
}) (map[string]string, error) {
	const both = apikey.Read | apikey.Write
	account := "contract-" + strings.ToLower(rand.Text()[:12])
	main := lead.Tenant{Account: account, Mode: lead.Test}
	past := time.Now().Add(-time.Hour)

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

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// alterKey returns a copy of a valid key with one fault. It does not use package
// apikey, so that a fault in that package cannot hide itself.
func alterKey(valid, fault string) (string, error) {
	// sk_test_, 12 characters of an id, 32 of a secret, 6 of a checksum.
	if len(valid) != 58 {
		return "", fmt.Errorf("the key %s does not have 58 characters", Main)
	}
	prefix, id, secret, sum := valid[:8], valid[8:20], valid[20:52], valid[52:]
	switch fault {
	case "wrong-secret":
		secret = nextChars(secret[:1]) + secret[1:]
	case "unknown":
		id = nextChars(id)
	case "wrong-mode":
		prefix = map[string]string{"sk_test_": "sk_live_", "sk_live_": "sk_test_"}[prefix]
	case "bad-checksum":
		return prefix + id + secret + sum[:5] + nextChars(sum[5:]), nil
	case "truncated":
		return prefix + id + secret + sum[:5], nil
	default:
		return "", fmt.Errorf("there is no key named %q", fault)
	}
	return prefix + id + secret + checksum(prefix+id+secret), nil
}

// nextChars replaces each character by the next one of the alphabet.
func nextChars(s string) string {
	return strings.Map(func(c rune) rune { return rune(base62[(strings.IndexRune(base62, c)+1)%62]) }, s)
}

// checksum is the CRC32 (IEEE) of s in base62, most significant digit first.
func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	digits := make([]byte, 6)
	for i := range digits {
		digits[5-i] = base62[sum%62]
		sum /= 62
	}
	return string(digits)
}
