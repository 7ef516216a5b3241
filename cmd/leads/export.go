package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

func exportLeads(flags *flag.FlagSet) func(context.Context, []string) error {
	var tenant lead.Tenant
	tenantFlags(flags, &tenant)
	data := dataFlag(flags, servedData)

	return func(ctx context.Context, args []string) error {
		ctx, stop := signal.NotifyContext(ctx, endings()...)
		defer stop()
		name, format, err := fileOf(tenant, args)
		if err != nil {
			return err
		}
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		// Beside the file and then in its place, so that there is never half a
		// file under its name.
		file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
		if err != nil {
			return fmt.Errorf("the file cannot be written there, choose another place: %w", err)
		}
		defer os.Remove(file.Name()) // fails when all went well
		defer file.Close()
		n, err := export(ctx, db, tenant, file, format)
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
	}
}

// export writes all leads of the tenant and returns how many.
func export(ctx context.Context, db database, tenant lead.Tenant, to io.Writer, format leadfile.Format) (n int, err error) {
	bar := newProgress("leads")
	defer bar.clear()
	_, total, err := db.List(ctx, tenant, 1, 0)
	if err != nil {
		return 0, db.explain(err)
	}
	w := leadfile.NewWriter(to, format)
	for l, err := range db.All(ctx, tenant) {
		if err != nil {
			return n, db.explain(err)
		}
		if err := w.Write(&l); err != nil {
			return n, err
		}
		n++
		bar.show(int64(n), total, n)
	}
	return n, w.Flush()
}
