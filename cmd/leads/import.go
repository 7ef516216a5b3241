package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

const (
	// importTTL is how long the table remembers that a row was imported. For
	// that long, another import of the file creates no second lead.
	importTTL = 30 * 24 * time.Hour

	// importWorkers workers create importBatchSize leads at a time each, which
	// takes several transactions.
	importWorkers   = 4
	importBatchSize = 196
)

func importLeads(flags *flag.FlagSet) func(context.Context, string) error {
	tenant := addTenantFlags(flags)
	return withDatabase(flags, func(ctx context.Context, db database, name string) error {
		format, err := leadfile.FormatOf(name)
		if err != nil {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		reader, err := leadfile.NewReader(file, format, leadfile.Position{})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rejected, err := newRejectFile(name + ".rejected.ndjson")
		if err != nil {
			return err
		}
		i := newImporter(db, *tenant, filepath.Base(name), rejected)
		i.size, i.bar = info.Size(), newProgressBar("rows")
		err = errors.Join(i.run(ctx, reader), rejected.close())
		i.bar.clear()
		fmt.Fprintf(os.Stderr, "%d leads made, %d were made before, %d rows rejected.\n", i.created.Load(), i.replayed.Load(), rejected.count)
		switch {
		case err != nil:
			return fmt.Errorf("%w. Run the same command again to continue: it creates no lead a second time", err)
		case rejected.count > 0:
			return fmt.Errorf("some rows were rejected: correct them in the file, as %s says, and run the same command again", rejected.name)
		}
		return nil
	})
}

// An importer creates leads from the rows of a file.
//
// The idempotency key of a row consists of the name of the file, the row, and the
// number of equal rows before it. A file can therefore be imported again after an
// interruption or a correction, and only new rows create leads.
type importer struct {
	db       database
	tenant   lead.Tenant
	fileName string
	size     int64             // of the file, in bytes
	equal    map[uint64]uint32 // number of equal rows, by the first 8 bytes of their hash
	rejected *rejectFile
	bar      *progressBar

	created  atomic.Int64
	replayed atomic.Int64
}

func newImporter(db database, tenant lead.Tenant, fileName string, rejected *rejectFile) *importer {
	return &importer{
		db: db, tenant: tenant, fileName: fileName, rejected: rejected,
		equal: map[uint64]uint32{}, bar: &progressBar{},
	}
}

// run imports all rows. It stops at the first error that does not concern a
// single row.
func (i *importer) run(ctx context.Context, reader *leadfile.Reader) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(importWorkers)
	var readErr error
	for readErr == nil && groupCtx.Err() == nil {
		var batch []lead.CreateRequest
		batch, readErr = i.readBatch(reader)
		group.Go(func() error { return i.createLeads(groupCtx, batch) })
		i.bar.update(reader.Position().Offset, i.size, i.created.Load()+i.replayed.Load())
	}
	err := group.Wait()
	switch {
	case ctx.Err() != nil:
		return i.db.explainError(ctx.Err())
	case err != nil:
		return err
	case readErr != io.EOF:
		return readErr
	}
	return nil
}

// readBatch returns the next valid rows of the file. Its error is io.EOF at the
// end of the file.
func (i *importer) readBatch(reader *leadfile.Reader) (batch []lead.CreateRequest, err error) {
	for len(batch) < importBatchSize {
		row, err := reader.Read()
		if err != nil {
			return batch, err
		}
		request, err := i.parseRow(row)
		if err == nil {
			batch = append(batch, request)
		} else if err := i.rejected.add(row, err); err != nil {
			return batch, fmt.Errorf("the rejected rows cannot be written: %w", err)
		}
	}
	return batch, nil
}

func (i *importer) parseRow(row leadfile.Row) (lead.CreateRequest, error) {
	if row.Err != nil {
		return lead.CreateRequest{}, &lead.SyntaxError{Message: "This row is not valid: " + row.Err.Error() + "."}
	}
	changes, err := lead.ParseChanges(row.JSON)
	if err != nil {
		return lead.CreateRequest{}, err
	}
	hash := sha256.Sum256(row.JSON)
	prefix := binary.BigEndian.Uint64(hash[:])
	i.equal[prefix]++
	request := lead.CreateRequest{Values: lead.Defaults(), Key: lead.IdempotencyKey{
		Source: "import",
		Key:    fmt.Sprintf("%s/%d/%s", base64.RawURLEncoding.EncodeToString(hash[:]), i.equal[prefix], i.fileName),
		TTL:    importTTL,
	}}
	request.Values.Apply(changes)
	return request, nil
}

// createLeads creates the leads of a batch. It returns the first error.
func (i *importer) createLeads(ctx context.Context, batch []lead.CreateRequest) (err error) {
	for _, result := range i.db.CreateMany(ctx, i.tenant, batch) {
		switch {
		case result.Err != nil && err == nil:
			err = i.db.explainError(result.Err)
		case result.Err != nil:
		case result.Replayed:
			i.replayed.Add(1)
		default:
			i.created.Add(1)
		}
	}
	return err
}
