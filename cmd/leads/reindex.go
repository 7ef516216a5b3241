package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

func reindex(flags *flag.FlagSet) runFunc {
	var after lead.ID
	flags.Func("after", "go on after the lead `ID` of an interrupted reindex", func(text string) error {
		id, ok := lead.ParseID(text)
		if !ok {
			return errors.New("give the id of a lead")
		}
		after = id
		return nil
	})
	run := withTenants(flags, func(ctx context.Context, db database, tenant lead.Tenant) error {
		total, err := db.Count(ctx, tenant)
		if err != nil {
			return db.explainError(err)
		}
		bar := newProgressBar("leads")
		var read, changed int64
		last := after
		err = db.Reindex(ctx, dynamo.Reindex{Tenant: tenant, After: after, Progress: func(r, c int64, id lead.ID) {
			read, changed, last = r, c, id
			bar.update(read, max(read, total), read)
		}})
		bar.clear()
		if err = db.explainError(err); err != nil && last != "" {
			err = fmt.Errorf("%w. To go on: leads reindex -account %s -mode %s -after %s", err, tenant.Account, tenant.Mode, last)
		}
		if err == nil {
			fmt.Printf("Account %s has %d leads in %s mode, of which %d were indexed again.\n", tenant.Account, read, tenant.Mode, changed)
		}
		return err
	}, func() error { return nil })
	return func(ctx context.Context, args []string) error {
		if after != "" && flags.Lookup("all").Value.String() == "true" {
			return usageError("-after cannot be used with -all")
		}
		return run(ctx, args)
	}
}
