package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/kballard/go-shellquote"
	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

const (
	// importTTL is how long the table remembers that a row was imported. For
	// that long, another import of the row creates no second lead.
	importTTL = 30 * 24 * time.Hour

	// Each of importWorkers workers creates importBatchSize leads at a time, in
	// several transactions. Four workers are enough for a local database; on
	// AWS, a transaction also waits for the network.
	importWorkers   = 8
	importBatchSize = 196
)

// An importer creates leads from the rows of a file.
//
// The idempotency key of a row is a hash of the lead that it makes, and the number
// of such rows before it in the file. So the order of columns, the name of the
// file and its encoding do not matter, and a file can be imported again after an
// interruption or a correction: only new rows create leads. With idColumn, the key
// is the cell in that column.
type importer struct {
	db       database
	tenant   lead.Tenant
	idColumn string // the column with the identity of a row, or ""
	dryRun   bool
	again    bool // create leads again that were deleted since
	rows     *rowCounter
	rejected *rejectFile
	journal  *journal // nil in a dry run
	source   *source
	bar      *progressBar

	created  atomic.Int64
	replayed atomic.Int64 // made before
	changed  atomic.Int64 // made before with other values, only by id
	deleted  atomic.Int64 // made before and deleted since

	// allBefore is set while all rows were made before. Then rows are looked up
	// first, because a create that finds an earlier lead costs as much as one
	// that succeeds.
	allBefore atomic.Bool
}

func newImporter(db database, tenant lead.Tenant, rejected *rejectFile) *importer {
	return &importer{
		db: db, tenant: tenant, rejected: rejected, rows: newRowCounter(),
		source: &source{}, bar: &progressBar{},
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
		group.Go(func() error { return i.handleBatch(groupCtx, batch) })
		// Bytes that were read are ahead of the rows, but are all that is known of
		// a file that is not in UTF-8.
		done := cmp.Or(reader.Position().Start(), i.source.read)
		i.bar.update(done, i.source.size, i.created.Load()+i.replayed.Load()+i.deleted.Load()+i.changed.Load())
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
	return i.journal.end()
}

// readBatch returns the next valid rows of the file. Its error is io.EOF at the
// end of the file.
func (i *importer) readBatch(reader *leadfile.Reader) (batch []lead.CreateRequest, err error) {
	for len(batch) < importBatchSize {
		row, err := reader.Read()
		if err != nil {
			return batch, err
		}
		if i.idColumn != "" && row.ID == "" && row.Err == nil {
			row.Err = &lead.SyntaxError{Message: "The column " + i.idColumn + " is empty in this row: fill it in, or import the file without -id."}
		}
		if row.Err == nil {
			batch = append(batch, i.newRequest(row))
		} else if err := i.rejected.add(row); err != nil {
			return batch, fmt.Errorf("the rejected rows cannot be written: %w", err)
		}
	}
	return batch, nil
}

func (i *importer) newRequest(row leadfile.Row) lead.CreateRequest {
	request := lead.CreateRequest{Values: lead.Defaults(), Key: lead.IdempotencyKey{Source: "import", TTL: importTTL}}
	request.Values.Apply(row.Changes)
	if i.idColumn != "" {
		request.Key.Key = fmt.Sprintf("id/%q/%s", strings.ToLower(i.idColumn), row.ID)
		return request
	}
	hash := sha256.Sum256((&lead.Lead{Values: request.Values}).AppendJSON(nil))
	request.Key.Key = fmt.Sprintf("lead/%s/%d", base64.RawURLEncoding.EncodeToString(hash[:]), i.rows.count(hash))
	return request
}

// handleBatch creates the leads of a batch that were not made before. It returns
// the first error. If a lead was made before and deleted since, the key of its row
// leads to the id of the deleted lead; the lead that is created again has this id in
// its own key.
func (i *importer) handleBatch(ctx context.Context, batch []lead.CreateRequest) error {
	for create := true; len(batch) > 0; create = i.again {
		ids, err := i.createBatch(ctx, batch, create)
		if err != nil {
			return err
		}
		found, err := i.db.RetrieveMany(ctx, i.tenant, slices.DeleteFunc(slices.Clone(ids), func(id lead.ID) bool { return id == "" }))
		if err != nil {
			return i.db.explainError(err)
		}
		if err := i.journal.addFound(found); err != nil {
			return err
		}
		exists := map[lead.ID]bool{}
		for _, l := range found {
			exists[l.ID] = true
		}
		var deleted []lead.CreateRequest
		for n, id := range ids {
			if exists[id] {
				i.replayed.Add(1)
			} else if id != "" {
				batch[n].Key.Key += "/after/" + string(id)
				deleted = append(deleted, batch[n])
			}
		}
		batch = deleted
	}
	return nil
}

// createBatch creates the leads that were not made before. In a dry run and without
// create, it only counts them. It returns the ids of the others, each in the place
// of its row.
func (i *importer) createBatch(ctx context.Context, batch []lead.CreateRequest, create bool) ([]lead.ID, error) {
	ids := make([]lead.ID, len(batch))
	if i.dryRun || !create || i.allBefore.Load() {
		var err error
		if ids, err = i.db.FindCreated(ctx, i.tenant, batch); err != nil {
			return nil, i.db.explainError(err)
		}
	}
	var requests []lead.CreateRequest
	var indexes []int // of the row of each request
	for n, id := range ids {
		switch {
		case id != "":
		case !create:
			i.deleted.Add(1)
		case i.dryRun:
			i.created.Add(1)
		default:
			requests, indexes = append(requests, batch[n]), append(indexes, n)
		}
	}
	var made []lead.Lead
	var failure error
	for n, result := range i.db.CreateMany(ctx, i.tenant, requests) {
		switch {
		case errors.Is(result.Err, lead.ErrKeyReused):
			i.changed.Add(1)
		case result.Err != nil:
			failure = cmp.Or(failure, i.db.explainError(result.Err))
		case result.Replayed:
			ids[indexes[n]] = result.Lead.ID
		default:
			made = append(made, result.Lead)
		}
	}
	i.created.Add(int64(len(made)))
	// A row with an id may have other values now. Only a create detects that.
	i.allBefore.Store(len(made) == 0 && i.idColumn == "")
	if err := i.journal.addMade(made); err != nil {
		return nil, err
	}
	return ids, failure
}

// report prints what became of the rows.
func (i *importer) report(name string) {
	format := "%d leads made, %d were made before, %d rows rejected.\n"
	if i.dryRun {
		format = "Dry run: %d leads would be made, %d were made before, %d rows would be rejected.\n"
	}
	fmt.Fprintf(os.Stderr, format, i.created.Load(), i.replayed.Load(), i.rejected.count)
	if n := i.deleted.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "%d were made before and deleted since; -again makes them anew.\n", n)
	}
	if n := i.changed.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "%d were made before with other values, which were not changed.\n", n)
	}
	for _, reason := range i.rejected.reasons {
		fmt.Fprint(os.Stderr, reason)
	}
	if i.created.Load() > 0 && !i.dryRun {
		fmt.Fprintf(os.Stderr, "To delete them again: leads import undo -account %s -mode %s %s\n", i.tenant.Account, i.tenant.Mode, shellquote.Join(name))
	}
}

// A rowCounter counts equal rows. It needs the same memory for files of any size:
// only rows that occur twice are kept one by one.
type rowCounter struct {
	seen     *bloom.BloomFilter
	repeated map[[16]byte]int
}

// newFilter returns a filter of 64 MB. With ten million entries, fewer than one
// in 10^9 other values are false positives.
func newFilter() *bloom.BloomFilter { return bloom.New(64<<23, 16) }

func newRowCounter() *rowCounter {
	return &rowCounter{newFilter(), map[[16]byte]int{}}
}

// count returns how many times the row with this hash was counted, this time
// included.
func (c *rowCounter) count(hash [32]byte) int {
	if !c.seen.TestAndAdd(hash[:]) {
		return 1
	}
	key := [16]byte(hash[:])
	c.repeated[key] = max(c.repeated[key], 1) + 1
	return c.repeated[key]
}
