package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/test/dynamotest"
)

var importTenant = lead.Tenant{Account: "acme", Mode: lead.Test}

// runImport imports the rows of an NDJSON file and returns the importer and its
// error.
func runImport(t *testing.T, ctx context.Context, table *dynamo.Table, file string) (*importer, error) {
	t.Helper()
	reader, err := leadfile.NewReader(strings.NewReader(file), "leads.ndjson", leadfile.Settings{}, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	rejected := &rejectFile{name: filepath.Join(t.TempDir(), "rejected"), reader: reader}
	i := newImporter(database{Table: table}, importTenant, rejected)
	return i, i.run(ctx, reader)
}

// newDeniedResponse returns an error response that no client retries.
func newDeniedResponse() *http.Response {
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}`
	return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// TestInterruptedImport fails imports of a file at random requests, before or
// after the database carried the request out, until one succeeds. At the end
// every row must have created one lead.
func TestInterruptedImport(t *testing.T) {
	table, meter := dynamotest.New(t)
	var file strings.Builder
	const n = 1000
	for i := range n {
		fmt.Fprintf(&file, "{\"lead_name\":\"n%d\"}\n", i%(n/2)) // each row twice
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(7, 7))
	failures := 0
	for run := 0; ; run++ {
		remaining := random.IntN(6) + 4*run
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			remaining--
			fail, carryOut := remaining < 0, random.IntN(2) == 0
			mu.Unlock()
			if fail && carryOut {
				if resp, err := send.RoundTrip(r); err == nil {
					resp.Body.Close()
				}
			}
			if fail {
				return newDeniedResponse(), nil
			}
			return send.RoundTrip(r)
		}
		if _, err := runImport(t, t.Context(), table, file.String()); err == nil {
			break
		}
		failures++
	}
	meter.Fault = nil
	if failures < 3 {
		t.Errorf("the import failed %d times, want at least 3", failures)
	}
	names := map[any]int{}
	for l, err := range table.All(t.Context(), importTenant) {
		if err != nil {
			t.Fatal(err)
		}
		names[l.Values[0]]++
	}
	page, err := table.List(t.Context(), importTenant, lead.ListQuery{Limit: 1})
	if err != nil || page.Total != n || len(names) != n/2 {
		t.Errorf("%d leads of %d names, want %d of %d (%v)", page.Total, len(names), n, n/2, err)
	}
	for name, count := range names {
		if count != 2 {
			t.Errorf("%v was created %d times, want 2", name, count)
		}
	}
	i, err := runImport(t, t.Context(), table, file.String())
	if i.created.Load() != 0 || i.replayed.Load() != n || err != nil {
		t.Errorf("second import: %d created, %d replayed, %v", i.created.Load(), i.replayed.Load(), err)
	}
}

// TestImportAgainOnlyReads imports a file twice. The second import finds out that
// its rows were made before without a transaction for each of them.
func TestImportAgainOnlyReads(t *testing.T) {
	table, meter := dynamotest.New(t)
	var file strings.Builder
	const n = 2 * importWorkers * importBatchSize
	for i := range n {
		fmt.Fprintf(&file, "{\"lead_name\":\"n%d\"}\n", i)
	}
	var transactions atomic.Int64
	meter.Fault = func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		if operation == "TransactWriteItems" {
			transactions.Add(1)
		}
		return send.RoundTrip(r)
	}
	first, err := runImport(t, t.Context(), table, file.String())
	writes := transactions.Swap(0)
	if err != nil || first.created.Load() != n || writes == 0 {
		t.Fatalf("%d created in %d transactions, %v", first.created.Load(), writes, err)
	}
	second, err := runImport(t, t.Context(), table, file.String())
	if err != nil || second.replayed.Load() != n || transactions.Load() > writes/2 {
		t.Errorf("%d made before, %d transactions after %d, %v", second.replayed.Load(), transactions.Load(), writes, err)
	}
}

// TestKilledImport kills imports of a file at random requests, before or after the
// database carried the request out, and moves the columns before each run. At the
// end each row must have created one lead, and the journal must have each lead once.
func TestKilledImport(t *testing.T) {
	table, meter := dynamotest.New(t)
	random := rand.New(rand.NewPCG(5, 5))
	const n = 1000
	write := func(run int) string {
		headers := []string{"Full Name", "City", "E-mail"}
		order := random.Perm(3)
		var b strings.Builder
		for i := -1; i < n; i++ {
			for j, column := range order {
				cell := headers[column]
				if i >= 0 {
					cell = []string{fmt.Sprintf("n%d", i%(n/2)), "Oslo", "a@example.com"}[column] // each row twice
				}
				fmt.Fprintf(&b, "%s%s", strings.Repeat(";", min(j, 1)), cell)
			}
			b.WriteString([]string{"\n", "\r\n"}[run%2])
		}
		return b.String()
	}
	name := filepath.Join(t.TempDir(), "imports", "people.csv")
	killed := 0
	for run := 0; ; run++ {
		journal, err := openJournal(name)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := leadfile.NewReader(strings.NewReader(write(run)), "people.csv", leadfile.Settings{}, leadfile.Position{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, kill := context.WithCancel(t.Context())
		var mu sync.Mutex
		remaining := (3 + random.IntN(5)) << (2 * run)
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			remaining--
			dead, carryOut := remaining < 0, random.IntN(2) == 0
			mu.Unlock()
			if !dead {
				return send.RoundTrip(r)
			}
			if carryOut {
				if resp, err := send.RoundTrip(r.WithContext(context.WithoutCancel(r.Context()))); err == nil {
					resp.Body.Close()
				}
			}
			kill()
			return nil, context.Canceled
		}
		i := newImporter(database{Table: table}, importTenant, &rejectFile{reader: reader})
		i.journal = journal
		err = i.run(ctx, reader)
		kill()
		if closeErr := journal.close(); closeErr != nil {
			t.Fatal(closeErr)
		}
		if err == nil {
			break
		}
		killed++
	}
	meter.Fault = nil
	if killed < 2 {
		t.Errorf("the import was killed %d times, want at least 2", killed)
	}
	leads := map[lead.ID]bool{}
	for l, err := range table.All(t.Context(), importTenant) {
		if err != nil {
			t.Fatal(err)
		}
		leads[l.ID] = true
	}
	if len(leads) != n {
		t.Errorf("%d leads, want %d", len(leads), n)
	}
	var mu sync.Mutex
	listed := map[lead.ID]int{}
	err := forEachImported(t.Context(), name, func(_ context.Context, id lead.ID) error {
		mu.Lock()
		defer mu.Unlock()
		listed[id]++
		return nil
	})
	if err != nil || len(listed) != n {
		t.Errorf("the journal has %d leads, want %d (%v)", len(listed), n, err)
	}
	for id, count := range listed {
		if count != 1 || !leads[id] {
			t.Errorf("lead %s is %d times in the journal; it exists: %v", id, count, leads[id])
		}
	}
}

// TestUndo checks that undo keeps leads that were changed since, and those of
// other imports.
func TestUndo(t *testing.T) {
	table, _ := dynamotest.New(t)
	db := database{Table: table}
	name := filepath.Join(t.TempDir(), "a.ndjson")
	importFile := func(journalName, file string) {
		reader, err := leadfile.NewReader(strings.NewReader(file), "a.ndjson", leadfile.Settings{}, leadfile.Position{})
		if err != nil {
			t.Fatal(err)
		}
		i := newImporter(db, importTenant, &rejectFile{reader: reader})
		if i.journal, err = openJournal(journalName); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(i.run(t.Context(), reader), i.journal.close()); err != nil {
			t.Fatal(err)
		}
	}
	importFile(name, "{\"city\":\"a\"}\n{\"city\":\"b\"}\n{\"city\":\"c\"}\n")
	importFile(name+"2", "{\"city\":\"a\"}\n{\"city\":\"d\"}\n")
	importFile(name, "{\"city\":\"d\"}\n{\"city\":\"e\"}\n")
	cities := func() (all []string) {
		for l, err := range table.All(t.Context(), importTenant) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Values[35] == "b" && l.Version == 1 {
				changes, err := lead.ParseChanges([]byte(`{"state":"changed"}`))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := table.Update(t.Context(), importTenant, l.ID, changes, lead.Precondition{}); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, fmt.Sprint(l.Values[35]))
		}
		slices.Sort(all)
		return all
	}
	if got := cities(); !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
		t.Fatalf("imported %v", got)
	}
	for range 2 {
		if err := deleteImported(t.Context(), db, importTenant, "a", name); err != nil {
			t.Fatal(err)
		}
		if got := cities(); !slices.Equal(got, []string{"b", "d"}) {
			t.Errorf("after undo: %v, want the changed lead b and the lead d of the other import", got)
		}
	}
}

func TestRowCounter(t *testing.T) {
	c := newRowCounter()
	hash := func(i int) (h [32]byte) { return sha256.Sum256(fmt.Append(nil, i)) }
	for round := 1; round <= 3; round++ {
		for i := range 10_000 {
			if got := c.count(hash(i)); got != round {
				t.Fatalf("row %d was counted %d times, want %d", i, got, round)
			}
		}
	}
}

func TestImportReportsDatabaseError(t *testing.T) {
	table, meter := dynamotest.New(t)
	meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
		return newDeniedResponse(), nil
	}
	i, err := runImport(t, t.Context(), table, "{}\n")
	if err == nil || i.created.Load() != 0 || errors.Is(err, lead.ErrKeyReused) {
		t.Errorf("%d created, %v", i.created.Load(), err)
	}
}

// TestInterruption cancels a running import and a running export, as Ctrl-C does.
func TestInterruption(t *testing.T) {
	table, meter := dynamotest.New(t)
	file := strings.Repeat("{}\n", 2000)
	cancelAfterTwo := func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		remaining := 2
		var mu sync.Mutex
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if remaining--; remaining < 0 {
				cancel()
			}
			return send.RoundTrip(r)
		}
		return ctx
	}

	i, err := runImport(t, cancelAfterTwo(), table, file)
	created := i.created.Load()
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted") || created == 0 || created == 2000 {
		t.Errorf("%d created, error %v", created, err)
	}
	meter.Fault = nil
	i, err = runImport(t, t.Context(), table, file)
	created, replayed := i.created.Load(), i.replayed.Load()
	if err != nil || created == 0 || replayed == 0 || created+replayed != 2000 {
		t.Errorf("second import: %d created, %d replayed, error %v", created, replayed, err)
	}

	n, err := writeLeads(cancelAfterTwo(), database{Table: table}, importTenant, io.Discard, leadfile.NDJSON, exportOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Errorf("%d exported, error %v", n, err)
	}
}

// TestImportReportsRejectFileError checks that a rejected row that cannot be
// written is not reported as an error of the database.
func TestImportReportsRejectFileError(t *testing.T) {
	reader, err := leadfile.NewReader(strings.NewReader("{\n"), "leads.ndjson", leadfile.Settings{}, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	i := newImporter(database{}, importTenant, &rejectFile{name: filepath.Join(t.TempDir(), "none", "rejected"), reader: reader})
	if err := i.run(t.Context(), reader); err == nil || !strings.HasPrefix(err.Error(), "the rejected rows cannot be written: open ") {
		t.Error(err)
	}
}
