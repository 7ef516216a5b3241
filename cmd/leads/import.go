package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

const (
	// importKeep is how long a row of a file is remembered: within this time an
	// import can be run again.
	importKeep = 30 * 24 * time.Hour

	// importers write at once, importRows rows each: several transactions.
	importers  = 4
	importRows = 196
)

func importLeads(flags *flag.FlagSet) func(context.Context, []string) error {
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
		db, err := openDatabase(ctx, *data)
		if err != nil {
			return err
		}
		i := &importer{
			db: db, tenant: tenant, name: filepath.Base(name), seen: map[uint64]uint32{},
			size: info.Size(), rejects: &rejects{name: name + ".rejected.ndjson"}, bar: newProgress("rows"),
		}
		if err := i.rejects.clear(); err != nil {
			return err
		}
		err = i.run(ctx, reader)
		i.bar.clear()
		err = errors.Join(err, i.rejects.close())
		fmt.Fprintf(os.Stderr, "%d leads made, %d were made before, %d rows rejected.\n", i.made, i.replayed, i.rejects.count)
		switch {
		case err != nil:
			return fmt.Errorf("%w. Run the same command again to go on: what is done is not done twice", err)
		case i.rejects.count > 0:
			return fmt.Errorf("some rows were rejected: mend them as %s says, in the file itself, and run the same command again", i.rejects.name)
		}
		return nil
	}
}

// fileOf returns the one file that is named, and its format.
func fileOf(tenant lead.Tenant, args []string) (name string, format leadfile.Format, err error) {
	if err := needTenant(tenant); err != nil {
		return "", 0, err
	}
	if len(args) != 1 {
		return "", 0, usage("give the name of one file")
	}
	format, err = leadfile.FormatOf(args[0])
	if err != nil {
		return "", 0, usage("%w", err)
	}
	if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
		return "", 0, usage("%s is a directory: give the name of a file", args[0])
	}
	return args[0], format, nil
}

// importer makes leads of the rows of a file.
//
// A row's name is that of its file, the row itself, and how many like it came
// before: so a file can be run again whole, after it broke off or was mended,
// and only what is new makes a lead.
type importer struct {
	db     database
	tenant lead.Tenant
	name   string
	seen   map[uint64]uint32 // how often a row came, by a part of its hash
	size   int64
	bar    *progress

	mu       sync.Mutex // guards what follows
	made     int
	replayed int
	rejects  *rejects
	err      error // the first that is no row's own
}

// importRow is a row on its way.
type importRow struct {
	leadfile.Row
	lead.CreateRequest
}

func (i *importer) run(ctx context.Context, reader *leadfile.Reader) error {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan []importRow)
	var workers sync.WaitGroup
	for range importers {
		workers.Go(func() {
			for some := range work {
				if !i.create(working, some) {
					cancel()
				}
			}
		})
	}
	err := i.read(working, reader, work)
	close(work)
	workers.Wait()
	return errors.Join(err, i.err, i.db.explain(ctx.Err()))
}

// read hands the rows of the file to the workers, until one of them fails.
func (i *importer) read(ctx context.Context, reader *leadfile.Reader, work chan<- []importRow) error {
	var some []importRow
	hand := func() {
		select {
		case work <- some:
		case <-ctx.Done():
		}
		some = nil
	}
	for ctx.Err() == nil {
		row, err := reader.Read()
		if err == io.EOF {
			hand()
			return nil
		} else if err != nil {
			return err
		}
		if r, err := i.parse(row); err != nil {
			i.reject(row, err)
		} else {
			some = append(some, r)
		}
		if len(some) == importRows {
			hand()
			i.show(reader.Position().Offset)
		}
	}
	return nil
}

func (i *importer) parse(row leadfile.Row) (r importRow, err error) {
	if row.Err != nil {
		return r, &lead.SyntaxError{Message: "This row is not valid: " + row.Err.Error() + "."}
	}
	changes, err := lead.ParseChanges(row.JSON)
	if err != nil {
		return r, err
	}
	sum := sha256.Sum256(row.JSON)
	short := binary.BigEndian.Uint64(sum[:])
	i.seen[short]++
	r = importRow{Row: row, CreateRequest: lead.CreateRequest{Values: lead.Defaults(), Key: lead.IdempotencyKey{
		Source: "import",
		Key:    fmt.Sprintf("%s/%d/%s", base64.RawURLEncoding.EncodeToString(sum[:]), i.seen[short], i.name),
		TTL:    importKeep,
	}}}
	r.Values.Apply(changes)
	return r, nil
}

// create makes leads of some rows. It reports false where the database failed.
func (i *importer) create(ctx context.Context, some []importRow) bool {
	var wanted []lead.CreateRequest
	for _, r := range some {
		wanted = append(wanted, r.CreateRequest)
	}
	outcomes := i.db.CreateMany(ctx, i.tenant, wanted)
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, o := range outcomes {
		switch {
		case o.Err != nil && i.err == nil && ctx.Err() == nil:
			i.err = i.db.explain(o.Err)
		case o.Err != nil:
		case o.Replayed:
			i.replayed++
		default:
			i.made++
		}
	}
	return i.err == nil
}

func (i *importer) reject(row leadfile.Row, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if failed := i.rejects.add(row, err); failed != nil && i.err == nil {
		i.err = fmt.Errorf("the rejected rows cannot be kept: %w", failed)
	}
}

func (i *importer) show(offset int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bar.show(offset, i.size, i.made+i.replayed)
}

// rejects is the file of rejected rows, which is there only when there are some.
type rejects struct {
	name  string
	file  *os.File
	count int
}

// clear removes the file of an earlier run.
func (r *rejects) clear() error {
	if err := os.Remove(r.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (r *rejects) add(row leadfile.Row, why error) (err error) {
	r.count++
	if r.file == nil {
		if r.file, err = os.OpenFile(r.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
	code, reason := api.Describe(why)
	return json.NewEncoder(r.file).Encode(struct {
		Line   int    `json:"line"`
		Code   string `json:"code"`
		Reason string `json:"reason"`
		Row    string `json:"row"`
	}{row.Line, code, reason, string(row.Text)})
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
