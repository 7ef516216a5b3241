package faults

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

var (
	effort = flag.Int("effort", 1, "multiplies the number of random cases; go test ./... runs 1")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "the seed of all random choices")
)

// verdict is what a case showed.
type verdict int

const (
	correct verdict = iota
	lost            // something acknowledged is missing
	doubled         // something took effect twice
	wrong           // anything else differs from what it must be
)

func (v verdict) String() string { return [...]string{"correct", "lost", "doubled", "wrong"}[v] }

// table counts verdicts by the name of a row.
type table map[string]*[4]int

func (t table) add(row string, v verdict) {
	if t[row] == nil {
		t[row] = new([4]int)
	}
	t[row][v]++
}

func (t table) print(out io.Writer, title string) {
	fmt.Fprintf(out, "| %s | cases | lost | doubled | wrong |\n|---|--:|--:|--:|--:|\n", title)
	var sum [4]int
	line := func(row string, n [4]int) {
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d |\n", row, n[correct]+n[lost]+n[doubled]+n[wrong], n[lost], n[doubled], n[wrong])
	}
	for _, row := range slices.Sorted(maps.Keys(t)) {
		line(row, *t[row])
		for v, n := range t[row] {
			sum[v] += n
		}
	}
	line("all", sum)
	fmt.Fprintln(out)
}

// The results of all tests.
var (
	resultsMu            sync.Mutex
	byFault, byOperation = table{}, table{}
)

// record adds a case to the results.
func record(fault, operation string, v verdict) {
	resultsMu.Lock()
	defer resultsMu.Unlock()
	byFault.add(fault, v)
	byOperation.add(operation, v)
}

// buildDir is a directory for the whole run.
var buildDir string

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for time limits more than they compute.
	flag.Set("test.parallel", "8")
	start := time.Now()
	var err error
	if buildDir, err = os.MkdirTemp("", "faults"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	if len(byFault) > 0 {
		fmt.Printf("\nseed %d, effort %d, %v\n\n", *seed, *effort, time.Since(start).Round(time.Second))
		byOperation.print(os.Stdout, "operation")
		byFault.print(os.Stdout, "fault")
	}
	if code != 0 {
		fmt.Printf("Run one test again: go test ./test/faults -run NAME -seed %d -effort %d\n", *seed, *effort)
	}
	os.Exit(code)
}
