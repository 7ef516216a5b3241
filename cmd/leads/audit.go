package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// progressPause is the time between two words on how far a command is.
const progressPause = 2 * time.Second

func audit(flags *flag.FlagSet) func(context.Context, []string) error {
	var tenant lead.Tenant
	tenantFlags(flags, &tenant)
	repair := flags.Bool("repair", false, "put right what differs; the API may go on serving")
	data := dataFlag(flags, servedData)

	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if err := needTenant(tenant); err != nil {
			return err
		}
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		differences, said := 0, time.Now()
		leads, err := db.Audit(ctx, dynamo.Audit{
			Tenant: tenant,
			Repair: *repair,
			Found: func(d dynamo.Difference) {
				differences++
				fmt.Printf("%s: counted as %d, should be %d\n", d.Of, d.Says, d.ShouldBe)
			},
			Progress: func(counted, of int64) {
				if time.Since(said) >= progressPause {
					fmt.Fprintf(os.Stderr, "Counted %d of %d leads.\n", counted, of)
					said = time.Now()
				}
			},
		})
		switch {
		case err != nil:
			return db.explain(err)
		case differences == 0:
			fmt.Fprintf(os.Stderr, "Account %s has %d leads in %s mode, and all counts of them are right.\n", tenant.Account, leads, tenant.Mode)
		case *repair:
			fmt.Fprintf(os.Stderr, "%d counts were wrong and are put right.\n", differences)
		default:
			return errors.New("counts are wrong: leads audit -repair puts them right")
		}
		return nil
	}
}
