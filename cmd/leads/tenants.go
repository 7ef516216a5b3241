package main

import (
	"context"
	"flag"

	"overplane.dev/leads/pkg/lead"
)

// withTenants defines the flags -account, -mode, -all and -data, and returns a
// function that calls run for the tenant or all tenants, and then finish.
func withTenants(flags *flag.FlagSet, run func(context.Context, database, lead.Tenant) error, finish func() error) runFunc {
	tenant := addTenantFlags(flags)
	all := flags.Bool("all", false, "all accounts")
	runAll := withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		tenants := []lead.Tenant{*tenant}
		if *all {
			var err error
			if tenants, err = db.Tenants(ctx); err != nil {
				return db.explainError(err)
			}
		}
		for _, tenant := range tenants {
			if err := run(ctx, db, tenant); err != nil {
				return err
			}
		}
		return finish()
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
		return runAll(ctx, args)
	}
}
