package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

func audit(flags *flag.FlagSet) runFunc {
	repair := flags.Bool("repair", false, "correct the wrong counts; the API can run meanwhile")
	asJSON := addJSONFlag(flags)
	differences := 0
	auditTenant := func(ctx context.Context, db database, tenant lead.Tenant) error {
		before, bar := differences, newProgressBar("leads")
		leads, err := db.Audit(ctx, dynamo.Audit{
			Tenant: tenant,
			Repair: *repair,
			Found: func(d dynamo.Difference) {
				differences++
				bar.clear()
				if *asJSON {
					newJSONEncoder("").Encode(map[string]any{"account": tenant.Account, "mode": tenant.Mode, "of": d.Of, "counted": d.Says, "should_be": d.ShouldBe})
					return
				}
				fmt.Printf("%s: counted as %d, should be %d\n", d.Of, d.Says, d.ShouldBe)
			},
			Progress: func(read, total int64) { bar.update(read, total, read) },
		})
		bar.clear()
		switch {
		case err != nil:
			return db.explainError(err)
		case *asJSON:
		case differences == before:
			fmt.Printf("Account %s has %d leads in %s mode, and all counts of them are right.\n", tenant.Account, leads, tenant.Mode)
		default:
			fmt.Printf("Account %s has %d leads in %s mode, and %d counts of them are wrong.\n", tenant.Account, leads, tenant.Mode, differences-before)
		}
		return nil
	}
	return withTenants(flags, auditTenant, func() error {
		if differences > 0 && !*repair {
			return errors.New("counts are wrong: run leads audit -repair to correct them")
		}
		if differences > 0 {
			fmt.Fprintf(os.Stderr, "%d counts were wrong and are corrected.\n", differences)
		}
		return nil
	})
}
