package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"overplane.dev/leads/pkg/dynamo"
)

func audit(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	repair := flags.Bool("repair", false, "correct the wrong counts; the API can run meanwhile")
	asJSON := addJSONFlag(flags)
	return withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		differences, bar := 0, newProgressBar("leads")
		leads, err := db.Audit(ctx, dynamo.Audit{
			Tenant: *tenant,
			Repair: *repair,
			Found: func(d dynamo.Difference) {
				differences++
				bar.clear()
				if *asJSON {
					newJSONEncoder("").Encode(map[string]any{"of": d.Of, "counted": d.Says, "should_be": d.ShouldBe})
					return
				}
				fmt.Printf("%s: counted as %d, should be %d\n", d.Of, d.Says, d.ShouldBe)
			},
			Progress: func(counted, total int64) {
				bar.update(counted, total, counted)
			},
		})
		bar.clear()
		switch {
		case err != nil:
			return db.explainError(err)
		case *asJSON && differences == 0:
		case differences == 0:
			fmt.Printf("Account %s has %d leads in %s mode, and all counts of them are right.\n", tenant.Account, leads, tenant.Mode)
		case *repair:
			fmt.Fprintf(os.Stderr, "%d counts were wrong and are corrected.\n", differences)
		default:
			return errors.New("counts are wrong: run leads audit -repair to correct them")
		}
		return nil
	})
}
