package main

import (
	"errors"
	"flag"

	"overplane.dev/leads/pkg/lead"
)

// addTenantFlags defines -account and -mode.
func addTenantFlags(flags *flag.FlagSet) *lead.Tenant {
	tenant := &lead.Tenant{}
	addAccountFlag(flags, &tenant.Account)
	flags.Func("mode", "the `MODE`, test or live; each has its own leads", func(text string) error {
		tenant.Mode = lead.Mode(text)
		if !tenant.Mode.Valid() {
			return errors.New("give test or live")
		}
		return nil
	})
	return tenant
}

func addAccountFlag(flags *flag.FlagSet, account *string) {
	flags.Func("account", "the `NAME` of the account", func(text string) error {
		if !lead.ValidAccount(text) {
			return errors.New("give 1 to 32 lower-case letters, digits and hyphens, with no hyphen at either end")
		}
		*account = text
		return nil
	})
}
