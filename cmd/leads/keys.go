package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

func createKey(flags *flag.FlagSet) func(context.Context, []string) error {
	var tenant lead.Tenant
	scopes := apikey.Read | apikey.Write
	var life time.Duration
	tenantFlags(flags, &tenant)
	flags.Func("scopes", "what the key may do, `SCOPES` separated by commas: read, write (default read,write)", func(text string) (err error) {
		scopes, err = apikey.ParseScopes(text)
		return err
	})
	flags.Func("expires", "end the key after this `TIME`, such as 90d or 12h (default never)", func(text string) (err error) {
		life, err = parseLife(text)
		return err
	})
	data := dataFlag(flags, servedData)

	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if err := needTenant(tenant); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		now, expires := time.Now(), time.Time{}
		if life > 0 {
			expires = now.Add(life)
		}
		text, key := apikey.NewKey(tenant, scopes, now, expires)
		if err := db.CreateKey(ctx, key); err != nil {
			return db.explain(err)
		}
		fmt.Fprintf(os.Stderr, "This key of account %s, %s mode, may %s until %s. Keep it now: it is not shown again.\nIts id is %s, for leads keys revoke.\n",
			tenant.Account, tenant.Mode, strings.ReplaceAll(scopes.String(), ",", " and "), whenOr(key.ExpiresAt, "it is revoked"), key.ID)
		fmt.Println(text)
		return nil
	}
}

// longestLife keeps the date of a key's end within four digits of a year.
const longestLife = 100 * 365 * 24 * time.Hour

// parseLife reads a positive time such as 90d, or as time.ParseDuration does.
// A day has 24 hours.
func parseLife(text string) (time.Duration, error) {
	life, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // 65,535 days are no overflow
		life = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || life < time.Second || life > longestLife {
		return 0, errors.New("give a time of one second to 36500d, such as 90d or 12h")
	}
	return life, nil
}

func listKeys(flags *flag.FlagSet) func(context.Context, []string) error {
	var account string
	accountFlag(flags, &account)
	data := dataFlag(flags, servedData)

	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if account == "" {
			return usage("-account is needed")
		}
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		keys, err := db.ListKeys(ctx, account)
		if err != nil {
			return db.explain(err)
		}
		if len(keys) == 0 {
			fmt.Fprintf(os.Stderr, "Account %s has no keys.\n", account)
			return nil
		}
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tMODE\tSCOPES\tCREATED\tEXPIRES\tREVOKED")
		for _, k := range keys {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant.Mode, k.Scopes,
				whenOr(k.CreatedAt, "-"), whenOr(k.ExpiresAt, "never"), whenOr(k.RevokedAt, "no"))
		}
		return table.Flush()
	}
}

func whenOr(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return t.Format(time.RFC3339)
}

func revokeKey(flags *flag.FlagSet) func(context.Context, []string) error {
	data := dataFlag(flags, servedData)

	return func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return usage("give the id of one key")
		}
		id := args[0]
		if len(id) != apikey.IDLength {
			// Not repeated: it may be the whole key.
			return usage("a key's id is the %d characters after sk_test_ or sk_live_", apikey.IDLength)
		}
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		err = db.RevokeKey(ctx, id, time.Now())
		if errors.Is(err, apikey.ErrNotFound) {
			return fmt.Errorf("there is no key %s in %s, see leads keys list -account NAME", id, db.place)
		}
		if err != nil {
			return db.explain(err)
		}
		fmt.Fprintf(os.Stderr, "Key %s is revoked. It stops working within 30 seconds.\n", id)
		return nil
	}
}
