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
	tenant := addTenantFlags(flags)
	all := flags.Bool("all", false, "count the leads of all accounts with API keys")
	repair := flags.Bool("repair", false, "correct the wrong counts; the API can run meanwhile")
	asJSON := addJSONFlag(flags)
	run := withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		tenants := []lead.Tenant{*tenant}
		if *all {
			var err error
			if tenants, err = db.Tenants(ctx); err != nil {
				return db.explainError(err)
			}
		}
		differences := 0
		for _, tenant := range tenants {
			found, err := auditTenant(ctx, db, tenant, *repair, *asJSON)
			if err != nil {
				return err
			}
			differences += found
		}
		switch {
		case differences == 0:
			return nil
		case *repair:
			fmt.Fprintf(os.Stderr, "%d counts were wrong and are corrected.\n", differences)
			return nil
		}
		return errors.New("counts are wrong: run leads audit -repair to correct them")
	})
	return func(ctx context.Context, args []string) error {
		switch {
		case *all && *tenant != lead.Tenant{}:
			return usageError("-all needs no -account and no -mode")
		case !*all && tenant.Account == "":
			return usageError("-account is missing, or -all")
		case !*all && tenant.Mode == "":
			return usageError("-mode is missing")
		}
		return run(ctx, args)
	}
}

// auditTenant audits one tenant and prints what it finds.
func auditTenant(ctx context.Context, db database, tenant lead.Tenant, repair, asJSON bool) (differences int, err error) {
	bar := newProgressBar("leads")
	leads, err := db.Audit(ctx, dynamo.Audit{
		Tenant: tenant,
		Repair: repair,
		Found: func(d dynamo.Difference) {
			differences++
			bar.clear()
			if asJSON {
				newJSONEncoder("").Encode(map[string]any{
					"account": tenant.Account, "mode": tenant.Mode, "of": d.Of, "counted": d.Says, "should_be": d.ShouldBe,
				})
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
		return differences, db.explainError(err)
	case asJSON:
	case differences == 0:
		fmt.Printf("Account %s has %d leads in %s mode, and all counts of them are right.\n", tenant.Account, leads, tenant.Mode)
	default:
		fmt.Printf("Account %s has %d leads in %s mode, and %d counts of them are wrong.\n", tenant.Account, leads, tenant.Mode, differences)
	}
	return differences, nil
}
