package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

func addNewAccountFlag(flags *flag.FlagSet) *bool {
	return flags.Bool("new-account", false, "create the account without asking if it does not exist")
}

// confirmAccount asks whether to create an account that has neither leads nor
// keys: its name may be misspelt. It asks only if standard input is not the file to
// import. Without a yes it returns an error.
func confirmAccount(ctx context.Context, db database, account string, create, canAsk bool) error {
	known, err := accountExists(ctx, db, account)
	if err != nil || known || create {
		return err
	}
	answer := ""
	if canAsk {
		fmt.Fprintf(os.Stderr, "There is no account %s yet. Create it? [y/N] ", account)
		answer, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Fprintln(os.Stderr)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
		return nil
	}
	return fmt.Errorf("nothing was imported, because there is no account %s: correct -account, or add -new-account to create it", account)
}

func accountExists(ctx context.Context, db database, account string) (bool, error) {
	for _, mode := range []lead.Mode{lead.Test, lead.Live} {
		page, err := db.List(ctx, lead.Tenant{Account: account, Mode: mode}, lead.ListQuery{Limit: 1})
		if err != nil || page.Total > 0 {
			return page.Total > 0, db.explainError(err)
		}
	}
	keys, err := db.ListKeys(ctx, account)
	return len(keys) > 0, db.explainError(err)
}
