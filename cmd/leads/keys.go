package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

func createKey(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	scopes := apikey.Read | apikey.Write
	var lifetime time.Duration
	flags.Func("scopes", "the `SCOPES` of the key (default read,write)", func(text string) (err error) {
		scopes, err = apikey.ParseScopes(text)
		return err
	})
	flags.Func("expires", "the `TIME` until it expires, such as 90d (default never)", func(text string) (err error) {
		lifetime, err = parseLifetime(text)
		return err
	})
	return withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
		defer cancel()
		now, expires := time.Now(), time.Time{}
		if lifetime > 0 {
			expires = now.Add(lifetime)
		}
		text, key := apikey.NewKey(*tenant, scopes, now, expires)
		if err := db.CreateKey(ctx, key); err != nil {
			return db.explainError(err)
		}
		fmt.Fprintf(os.Stderr, "This key of account %s, %s mode, may %s until %s. Keep it now: it is not shown again.\nIts id is %s, for leads keys revoke.\n",
			tenant.Account, tenant.Mode, strings.ReplaceAll(scopes.String(), ",", " and "), formatTime(key.ExpiresAt, "it is revoked"), key.ID)
		fmt.Println(text)
		return nil
	})
}

// maxLifetime keeps the year in which a key expires below 10000.
const maxLifetime = 100 * 365 * 24 * time.Hour

// parseLifetime parses a positive duration such as 90d, or one that
// time.ParseDuration accepts. A day has 24 hours.
func parseLifetime(text string) (time.Duration, error) {
	lifetime, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // 65,535 days do not overflow a Duration
		lifetime = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || lifetime < time.Second || lifetime > maxLifetime {
		return 0, errors.New("give a time of one second to 36500d, such as 90d or 12h")
	}
	return lifetime, nil
}

func listKeys(flags *flag.FlagSet) runFunc {
	var account string
	addAccountFlag(flags, &account)
	out := newList(flags, "ID", "MODE", "SCOPES", "CREATED", "EXPIRES", "REVOKED")
	return withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
		defer cancel()
		keys, err := db.ListKeys(ctx, account)
		if err != nil {
			return db.explainError(err)
		}
		if len(keys) == 0 {
			fmt.Fprintf(os.Stderr, "Account %s has no keys.\n", account)
		}
		for _, k := range keys {
			object := keyJSON{k.ID, k.Tenant.Mode, strings.Split(k.Scopes.String(), ","), k.CreatedAt, k.ExpiresAt, k.RevokedAt}
			err := out.add(object, k.ID, string(k.Tenant.Mode), k.Scopes.String(),
				formatTime(k.CreatedAt, "-"), formatTime(k.ExpiresAt, "never"), formatTime(k.RevokedAt, "no"))
			if err != nil {
				return err
			}
		}
		return out.end()
	})
}

// keyJSON is what -json prints of a key.
type keyJSON struct {
	ID        string    `json:"id"`
	Mode      lead.Mode `json:"mode"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// formatTime returns the time, or the text for the zero time.
func formatTime(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.Format(time.RFC3339)
}

func revokeKey(flags *flag.FlagSet) runFunc {
	revoke := withDatabase(flags, func(ctx context.Context, db database, id string) error {
		ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
		defer cancel()
		err := db.RevokeKey(ctx, id, time.Now())
		if errors.Is(err, apikey.ErrNotFound) {
			return fmt.Errorf("there is no key %s in %s, see leads keys list -account NAME", id, db.name)
		}
		if err != nil {
			return db.explainError(err)
		}
		fmt.Printf("Key %s is revoked. It stops working within 30 seconds.\n", id)
		return nil
	})
	return func(ctx context.Context, args []string) error {
		if len(args[0]) != apikey.IDLength {
			// The message does not repeat the argument: it may be a whole key.
			return usageError("a key's id is the %d characters after sk_test_ or sk_live_", apikey.IDLength)
		}
		return revoke(ctx, args)
	}
}
