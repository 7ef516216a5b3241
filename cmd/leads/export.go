package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// exportOptions are the flags of leads export.
type exportOptions struct {
	columns []string
	raw     bool
}

func exportLeads(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	var o exportOptions
	flags.Func("columns", "write only these `COLUMNS`, separated by commas", func(text string) error {
		o.columns = strings.Split(text, ",")
		for _, name := range o.columns {
			if !slices.Contains(leadfile.ColumnNames(), name) {
				return fmt.Errorf("there is no column %q: give some of %s", name, strings.Join(leadfile.ColumnNames(), ","))
			}
		}
		return nil
	})
	flags.BoolVar(&o.raw, "raw", false, "write cells that look like formulas as they are")
	return withDatabase(flags, func(ctx context.Context, db database, name string) error {
		if known, err := accountExists(ctx, db, tenant.Account); err != nil {
			return err
		} else if !known {
			return fmt.Errorf("there is no account %s: it has neither leads nor keys", tenant.Account)
		}
		if name == "-" {
			_, err := writeLeads(ctx, db, *tenant, os.Stdout, leadfile.CSV, o)
			return err
		}
		format, err := leadfile.FormatOf(name)
		if err != nil {
			return usageError("%w", err)
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return usageError("%s is a directory: give the name of a file", name)
		}
		// The leads go to a temporary file first, so that the file never holds
		// only a part of them.
		file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
		if err != nil {
			return fmt.Errorf("the file cannot be written there, choose another place: %w", err)
		}
		defer os.Remove(file.Name()) // fails after a successful export
		defer file.Close()
		n, err := writeLeads(ctx, db, *tenant, file, format, o)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
		if err := os.Rename(file.Name(), name); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d leads are in %s.\n", n, name)
		return nil
	})
}

// writeLeads writes all leads of the tenant and returns how many it wrote.
func writeLeads(ctx context.Context, db database, tenant lead.Tenant, w io.Writer, format leadfile.Format, o exportOptions) (n int64, err error) {
	bar := newProgressBar("leads")
	defer bar.clear()
	page, err := db.List(ctx, tenant, lead.ListQuery{Limit: 1})
	if err != nil {
		return 0, db.explainError(err)
	}
	out := leadfile.NewWriter(w, format, o.columns, o.raw)
	for l, err := range db.All(ctx, tenant) {
		if err != nil {
			return n, db.explainError(err)
		}
		if err := out.Write(&l); err != nil {
			return n, err
		}
		n++
		bar.update(n, page.Total, n)
	}
	return n, out.Flush()
}
