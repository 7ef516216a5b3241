// Command cold measures cold starts. It starts each function many times as
// Lambda does, sends it one event, and checks the answer. "make bench-cold"
// calls it.
//
//	go run ./tools/bench/cold [-memory MB,MB] [-rounds N] [-only NAME,NAME]
//
// Times on one machine say little about another. Each round therefore starts
// all functions, in random order, and the result is the ratio of the medians to
// those of two others: an empty function, built the same way (peers/empty), and
// an ordinary one with the SDK's default configuration (peers/ordinary).
//
// As on AWS, a start pays for reading the program from the disk, for TLS with
// the database, and from the first event on it has memory/1769 of a processor.
// The network is missing, and the work of Lambda before the program starts.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	memory := flag.String("memory", "128,512", "memory settings in `MB`, separated by commas")
	rounds := flag.Int("rounds", 20, "start each function `N` times for each memory setting")
	only := flag.String("only", "", "measure only these functions, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *memory, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "cold:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, memory string, rounds int, only string) error {
	var sizes []int
	for text := range strings.SplitSeq(memory, ",") {
		mb, err := strconv.Atoi(text)
		if err != nil || mb < 128 || mb > 10240 || rounds < 1 {
			return fmt.Errorf("-memory takes whole numbers from 128 to 10240, and -rounds a number from 1 on")
		}
		sizes = append(sizes, mb)
	}
	dir, err := os.MkdirTemp("", "leads-cold-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	functions, err := build(ctx, dir)
	if err != nil {
		return err
	}
	if only != "" {
		names := append(strings.Split(only, ","), empty, ordinary)
		functions = slices.DeleteFunc(functions, func(f *function) bool { return !slices.Contains(names, f.name) })
	}
	limit, err := newCPULimit()
	if err != nil {
		fmt.Printf("WARNING: the CPU time is not limited (%v). All memory settings give the same times. Run this as root on Linux.\n", err)
	}
	defer limit.remove()
	for _, mb := range sizes {
		if err := limit.set(mb); err != nil {
			return err
		}
		if err := measure(ctx, dir, limit, functions, rounds); err != nil {
			return err
		}
		printTable(mb, rounds, functions)
	}
	return nil
}

// measure uses a new database: it becomes slower with the leads in it.
func measure(ctx context.Context, dir string, limit *cpuLimit, functions []*function, rounds int) error {
	services, err := startServices(ctx, dir)
	if err != nil {
		return err
	}
	defer services.stop()
	for _, f := range functions {
		f.starts = nil
	}
	for range rounds {
		for _, i := range rand.Perm(len(functions)) {
			if err := functions[i].start(ctx, services, limit); err != nil {
				return fmt.Errorf("%s: %w", functions[i].name, err)
			}
		}
	}
	return nil
}

func printTable(mb, rounds int, functions []*function) {
	cold := map[string]time.Duration{}
	for _, f := range functions {
		cold[f.name] = f.median(func(s start) time.Duration { return s.init + s.first })
	}
	fmt.Printf("\n%d MB (%.1f %% of a processor), medians of %d starts; milliseconds\n", mb, 100*float64(mb)/fullCPU, rounds)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "function\tinit\tfirst\tCPU of first\tboth\t/ empty\tordinary /\t")
	for _, f := range functions {
		both := cold[f.name]
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t\n", f.name,
			ms(f.median(func(s start) time.Duration { return s.init })),
			ms(f.median(func(s start) time.Duration { return s.first })),
			ms(f.median(func(s start) time.Duration { return s.cpu })),
			ms(both), ms(both)/ms(cold[empty]), ms(cold[ordinary])/ms(both))
	}
	t.Flush()
}

func (f *function) median(value func(start) time.Duration) time.Duration {
	var all []time.Duration
	for _, s := range f.starts {
		all = append(all, value(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
