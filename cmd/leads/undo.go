package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/lead"
)

// undoWorkers is how many leads are looked up or deleted at once.
const undoWorkers = 16

// undoImport deletes the leads that an import made and that nobody changed since.
func undoImport(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	return withDatabase(flags, func(ctx context.Context, db database, name string) error {
		err := deleteImported(ctx, db, *tenant, name, journalName(db, *tenant, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no import %s into this account and mode is recorded on this machine: give its name as leads import printed it, and the same -data", name)
		}
		return err
	})
}

func deleteImported(ctx context.Context, db database, tenant lead.Tenant, name, journal string) error {
	var unchanged, changed, gone, deleted atomic.Int64
	err := forEachImported(ctx, journal, func(ctx context.Context, id lead.ID) error {
		l, err := db.Retrieve(ctx, tenant, id)
		switch {
		case errors.Is(err, lead.ErrNotFound):
			gone.Add(1)
			return nil
		case err == nil && l.Version == 1:
			unchanged.Add(1)
		case err == nil:
			changed.Add(1)
		}
		return db.explainError(err)
	})
	if err != nil {
		return err
	}
	total := unchanged.Load()
	fmt.Fprintf(os.Stderr, "Import %s: %d leads are deleted now. %d were changed since and stay, %d are deleted already.\n", name, total, changed.Load(), gone.Load())
	bar := newProgressBar("leads")
	unchangedOnly := lead.Precondition{Match: &lead.Versions{List: []int64{1}}}
	err = forEachImported(ctx, journal, func(ctx context.Context, id lead.ID) error {
		bar.update(deleted.Load(), total, deleted.Load())
		err := db.Delete(ctx, tenant, id, unchangedOnly)
		if errors.Is(err, lead.ErrNotFound) || errors.Is(err, lead.ErrPreconditionFailed) {
			return nil
		}
		if err == nil {
			deleted.Add(1)
		}
		return db.explainError(err)
	})
	bar.clear()
	fmt.Fprintf(os.Stderr, "%d leads deleted.\n", deleted.Load())
	if err != nil {
		return fmt.Errorf("%w. Run the same command again to continue", err)
	}
	return nil
}

// forEachImported calls a function for each lead of a journal, several at once.
// It returns the first error.
func forEachImported(ctx context.Context, journal string, handle func(context.Context, lead.ID) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(undoWorkers)
	err := readJournal(journal, func(line string) error {
		if id, ok := lead.ParseID(line); ok {
			group.Go(func() error { return handle(groupCtx, id) })
		}
		return groupCtx.Err()
	})
	if waitErr := group.Wait(); waitErr != nil {
		return waitErr
	}
	return err
}
