package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

// listDuplicates lists the e-mail addresses that more than one lead has, compared as
// an upsert does. It keeps all addresses in memory.
func listDuplicates(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	out := newList(flags, "E-MAIL", "LEADS", "IDS")
	return withDatabase(flags, func(ctx context.Context, db database, _ string) error {
		page, err := db.List(ctx, *tenant, lead.ListQuery{Limit: 1})
		if err != nil {
			return db.explainError(err)
		}
		bar := newProgressBar("leads")
		ids, read := map[string][]lead.ID{}, int64(0)
		for l, err := range db.All(ctx, *tenant) {
			if err != nil {
				bar.clear()
				return db.explainError(err)
			}
			email := lead.FieldNamed(lead.MatchName)
			if key, ok := lead.FilterKey(email, l.Values[email]); ok {
				ids[key] = append(ids[key], l.ID)
			}
			read++
			bar.update(read, page.Total, read)
		}
		bar.clear()
		maps.DeleteFunc(ids, func(_ string, some []lead.ID) bool { return len(some) < 2 })
		for _, address := range slices.Sorted(maps.Keys(ids)) {
			some := ids[address]
			cell := strings.Trim(fmt.Sprint(some), "[]")
			if err := out.add(map[string]any{"email_id": address, "ids": some}, address, fmt.Sprint(len(some)), cell); err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			fmt.Fprintln(os.Stderr, "No e-mail address has more than one lead.")
		}
		return out.end()
	})
}
