package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/test/dynamotest"
)

var importing = lead.Tenant{Account: "acme", Mode: lead.Test}

// runImport imports rows and returns what became of them.
func runImport(t *testing.T, table *dynamo.Table, file string) *importer {
	t.Helper()
	return runImportUntil(t, t.Context(), table, file)
}

func runImportUntil(t *testing.T, ctx context.Context, table *dynamo.Table, file string) *importer {
	t.Helper()
	reader, err := leadfile.NewReader(strings.NewReader(file), leadfile.NDJSON, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	i := &importer{
		db: database{Table: table}, tenant: importing, name: "leads.ndjson", seen: map[uint64]uint32{},
		rejects: &rejects{name: filepath.Join(t.TempDir(), "rejected")}, bar: &progress{},
	}
	i.err = i.run(ctx, reader)
	return i
}

// denied is an answer that ends all trying: nobody waits for it to pass.
func denied() *http.Response {
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}`
	return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// TestImportBreaksOff breaks an import off again and again, at any request and
// before or after it was done, and holds the end to every row once.
func TestImportBreaksOff(t *testing.T) {
	table, meter := dynamotest.New(t)
	var file strings.Builder
	const n = 1000
	for i := range n {
		fmt.Fprintf(&file, "{\"lead_name\":\"n%d\"}\n", i%(n/2)) // each row twice
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(7, 7))
	broken := 0
	for run := 0; ; run++ {
		left := random.IntN(6) + 4*run
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			left--
			ends, done := left < 0, random.IntN(2) == 0
			mu.Unlock()
			if ends && done {
				if resp, err := send.RoundTrip(r); err == nil {
					resp.Body.Close()
				}
			}
			if ends {
				return denied(), nil
			}
			return send.RoundTrip(r)
		}
		i := runImport(t, table, file.String())
		if i.err == nil {
			break
		}
		broken++
	}
	meter.Fault = nil
	if broken < 3 {
		t.Errorf("the import broke off %d times, too few for a test", broken)
	}
	names := map[any]int{}
	for l, err := range table.All(t.Context(), importing) {
		if err != nil {
			t.Fatal(err)
		}
		names[l.Values[0]]++
	}
	_, total, err := table.List(t.Context(), importing, 1, 0)
	if err != nil || total != n || len(names) != n/2 {
		t.Errorf("%d leads of %d names, want %d of %d (%v)", total, len(names), n, n/2, err)
	}
	for name, times := range names {
		if times != 2 {
			t.Errorf("%v was made %d times, want 2", name, times)
		}
	}
	if again := runImport(t, table, file.String()); again.made != 0 || again.replayed != n || again.err != nil {
		t.Errorf("run again: %d made, %d replayed, %v", again.made, again.replayed, again.err)
	}
}

func TestImportSaysWhenTheDatabaseFails(t *testing.T) {
	table, meter := dynamotest.New(t)
	meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
		return denied(), nil
	}
	if i := runImport(t, table, "{}\n"); i.err == nil || i.made != 0 || errors.Is(i.err, lead.ErrKeyReused) {
		t.Errorf("%d made, %v", i.made, i.err)
	}
}

// TestInterruption ends an import and an export in their midst, as Ctrl-C does.
func TestInterruption(t *testing.T) {
	table, meter := dynamotest.New(t)
	file := strings.Repeat("{}\n", 2000)
	interrupted := func() (ctx context.Context) {
		ctx, end := context.WithCancel(t.Context())
		left := 2
		var mu sync.Mutex
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				end()
			}
			return send.RoundTrip(r)
		}
		return ctx
	}

	i := runImportUntil(t, interrupted(), table, file)
	if err := i.err; err == nil || !strings.HasPrefix(err.Error(), "interrupted") || i.made == 0 || i.made == 2000 {
		t.Errorf("%d made, error %v", i.made, err)
	}
	meter.Fault = nil
	if i := runImport(t, table, file); i.err != nil || i.made == 0 || i.replayed == 0 || i.made+i.replayed != 2000 {
		t.Errorf("run again: %d made, %d replayed, error %v", i.made, i.replayed, i.err)
	}

	n, err := export(interrupted(), database{Table: table}, importing, io.Discard, leadfile.NDJSON)
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Errorf("%d exported, error %v", n, err)
	}
}

// TestImportBlamesTheFile: that rejected rows cannot be written is not the
// database's fault.
func TestImportBlamesTheFile(t *testing.T) {
	i := &importer{rejects: &rejects{name: filepath.Join(t.TempDir(), "none", "rejected")}}
	i.reject(leadfile.Row{Line: 1}, errors.New("no"))
	reader, err := leadfile.NewReader(strings.NewReader(""), leadfile.NDJSON, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.run(t.Context(), reader); err == nil || !strings.HasPrefix(err.Error(), "the rejected rows cannot be kept: open ") {
		t.Error(err)
	}
}
