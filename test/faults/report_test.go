package faults

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	effort = flag.Int("effort", 1, "how long the random proofs look, in multiples of what go test ./... does")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "where the random proofs begin")
)

// verdict is what became of a case.
type verdict int

const (
	right   verdict = iota
	lost            // something acknowledged is not there
	doubled         // something took effect twice
	wrong           // an answer, or anything else, is not what it must be
)

func (v verdict) String() string { return [...]string{"right", "lost", "doubled", "wrong"}[v] }

// report counts cases by fault and operation.
type report struct {
	mu         sync.Mutex
	faults     []string // in the order in which they came
	operations []string
	cells      map[[2]string]*[4]int
}

// proven is the report of the whole run.
var proven report

// row gives a fault its place in the report.
func (r *report) row(fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.faults, fault) {
		r.faults = append(r.faults, fault)
	}
}

func (r *report) add(fault, operation string, v verdict) {
	r.row(fault)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.operations, operation) {
		r.operations = append(r.operations, operation)
	}
	if r.cells == nil {
		r.cells = map[[2]string]*[4]int{}
	}
	cell := r.cells[[2]string{fault, operation}]
	if cell == nil {
		cell = new([4]int)
		r.cells[[2]string{fault, operation}] = cell
	}
	cell[v]++
}

// sum adds up the cells of a fault and an operation, where "" stands for all.
func (r *report) sum(fault, operation string) (sum [4]int) {
	for name, cell := range r.cells {
		if (fault == "" || name[0] == fault) && (operation == "" || name[1] == operation) {
			for i := range sum {
				sum[i] += cell[i]
			}
		}
	}
	return sum
}

func tried(cell [4]int) int { return cell[right] + cell[lost] + cell[doubled] + cell[wrong] }

// print writes the report as a table of Markdown.
func (r *report) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.operations, func(a, b string) int {
		return cmp.Compare(slices.Index(columns, a), slices.Index(columns, b))
	})
	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprint(table, "| fault")
	for _, o := range r.operations {
		fmt.Fprint(table, "\t| ", o)
	}
	fmt.Fprintln(table, "\t| tried\t| lost\t| doubled\t| wrong\t|")
	fmt.Fprint(table, "|---")
	for range len(r.operations) + 4 {
		fmt.Fprint(table, "\t|--:")
	}
	fmt.Fprintln(table, "\t|")
	line := func(fault, title string) {
		fmt.Fprint(table, "| ", title)
		for _, o := range r.operations {
			cell := r.sum(fault, o)
			if tried(cell) == 0 {
				fmt.Fprint(table, "\t| ")
			} else {
				fmt.Fprint(table, "\t| ", tried(cell))
			}
		}
		all := r.sum(fault, "")
		fmt.Fprintf(table, "\t| %d\t| %d\t| %d\t| %d\t|\n", tried(all), all[lost], all[doubled], all[wrong])
	}
	for _, f := range r.faults {
		line(f, f)
	}
	line("", "all")
	table.Flush()
}

// workplace is a directory for the whole run.
var workplace string

func TestMain(m *testing.M) {
	flag.Parse()
	began := time.Now()
	var err error
	if workplace, err = os.MkdirTemp("", "prove"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(workplace)
	if len(proven.faults) > 0 {
		fmt.Printf("\nCases tried, by fault and operation (seed %d, effort %d, %v):\n\n", *seed, *effort, time.Since(began).Round(time.Second))
		proven.print(os.Stdout)
	}
	os.Exit(code)
}
