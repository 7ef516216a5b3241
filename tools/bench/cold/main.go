// Command cold measures how functions start: each is started many times as
// Lambda does, gets one event and then many more, and every answer is checked.
// "make bench-cold" calls it.
//
//	go run ./tools/bench/cold [-memory MB,MB] [-rounds N] [-warm N] [-last N] [-only NAME,NAME]
//
// Times on one machine say little about another, and less while it is busy. So
// all functions are started in turn, in each round one of each in an order drawn
// anew (what comes after the ordinary one finds the processor's caches cold), and
// what counts are the ratios to others of the same run: an empty function and the
// smallest that reads the table, built the same way (peers/empty, peers/smallest),
// and an ordinary one (peers/ordinary).
//
// What a start pays for here as on AWS:
//
//	the program is read from the disk    its pages are dropped from the cache
//	TLS with the database                a CA of our own signs an RSA key, as AWS's do
//	a share of a processor               memory/1769 from the first event on
//
// The network is missing, and Lambda's own work before the program starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	memory := flag.String("memory", "128,256,512", "memory settings in `MB`, by comma")
	rounds := flag.Int("rounds", 32, "start each function `N` times per memory setting")
	warm := flag.Int("warm", 20, "send `N` events after the first")
	last := flag.Int("last", 1000, "send `N` events in a start of its own, to see the memory taken")
	only := flag.String("only", "", "start only these functions, by comma")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	err := run(ctx, *memory, *only, plan{*rounds, *warm, *last})
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "cold:", err)
		os.Exit(1)
	}
}

// plan says how much to measure.
type plan struct{ rounds, warm, last int }

func run(ctx context.Context, memory, only string, p plan) error {
	var sizes []int
	for text := range strings.SplitSeq(memory, ",") {
		mb, err := strconv.Atoi(text)
		if err != nil || mb < 128 || mb > 10240 {
			return fmt.Errorf("-memory %s: send whole numbers from 128 to 10240", memory)
		}
		sizes = append(sizes, mb)
	}
	dir, err := os.MkdirTemp("", "leads-cold-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	subjects, err := build(ctx, dir)
	if err != nil {
		return err
	}
	if only != "" {
		names := append(strings.Split(only, ","), empty, smallest, ordinary)
		subjects = slices.DeleteFunc(subjects, func(s *subject) bool { return !slices.Contains(names, s.name) })
	}
	limit := openLimit()
	defer limit.close()
	if limit.err != nil {
		fmt.Printf("THE PROCESSOR IS NOT LIMITED (%v): run this as root on Linux. Below, all memory settings are alike.\n", limit.err)
	}

	for _, mb := range sizes {
		if err := measure(ctx, dir, limit, mb, subjects, p.rounds, p.warm); err != nil {
			return err
		}
		print(mb, p, subjects)
	}
	if err := measure(ctx, dir, limit, wholeCore, subjects, 1, p.last); err != nil {
		return err
	}
	printLast(p, subjects)
	return nil
}

// measure starts each function so many times and sends it n events after the
// first. It does so in a new world: the database gets slower with what it has.
func measure(ctx context.Context, dir string, limit *limit, mb int, subjects []*subject, rounds, n int) error {
	w, err := openWorld(ctx, dir)
	if err != nil {
		return err
	}
	defer w.close()
	if err := limit.set(mb); err != nil {
		return err
	}
	shipped, err := environment(w)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if err := s.enter(ctx, w, shipped); err != nil {
			return err
		}
	}
	for range rounds {
		for _, i := range rand.Perm(len(subjects)) {
			s := subjects[i]
			if err := s.start(ctx, w, limit, n); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}
