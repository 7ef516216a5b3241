package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// print prints a table of what was measured with a memory setting. Each figure
// is a median, but p99.
func print(mb int, p plan, subjects []*subject) {
	var least, most time.Duration
	for _, s := range subjects {
		switch s.name {
		case empty:
			least = s.cold()
		case ordinary:
			most = s.cold()
		}
	}
	fmt.Printf("\n%d MB (%.1f %% of a processor), medians of %d starts; milliseconds\n", mb, 100*float64(mb)/wholeCore, p.rounds)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "function\tinit\tfirst\tboth\t/ empty\tordinary /\tCPU of both\tof first\twarm\twarm p99\t")
	for _, s := range subjects {
		both := s.cold()
		warm := s.warm()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%.1f\t%s\t%s\t%s\t%s\t\n", s.name,
			ms(s.median(func(m start) time.Duration { return m.init })),
			ms(s.median(func(m start) time.Duration { return m.first })),
			ms(both), ratio(both, least), ratio(most, both),
			ms(s.median(func(m start) time.Duration { return m.cpu })),
			ms(s.median(func(m start) time.Duration { return m.firstCPU })),
			ms(quantile(warm, 0.5)), ms(quantile(warm, 0.99)))
	}
	t.Flush()
}

// printLast prints what does not depend on the memory setting.
func printLast(p plan, subjects []*subject) {
	fmt.Printf("\nAfter %d requests with a whole processor\n", p.last+1)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "function\tmemory, MB\tarm64 program, MB\twarm, ms\twarm p99, ms\t")
	for _, s := range subjects {
		warm := s.warm()
		fmt.Fprintf(t, "%s\t%.1f\t%.2f\t%s\t%s\t\n", s.name,
			float64(s.starts[0].memory)/1e6, float64(s.arm64)/1e6, ms(quantile(warm, 0.5)), ms(quantile(warm, 0.99)))
	}
	t.Flush()
}

// cold is the time from the start of the program to its first answer.
func (s *subject) cold() time.Duration {
	return s.median(func(m start) time.Duration { return m.init + m.first })
}

func (s *subject) warm() (all []time.Duration) {
	for _, m := range s.starts {
		all = append(all, m.warm...)
	}
	return all
}

func (s *subject) median(of func(start) time.Duration) time.Duration {
	var all []time.Duration
	for _, m := range s.starts {
		all = append(all, of(m))
	}
	return quantile(all, 0.5)
}

func quantile[T cmp.Ordered](all []T, q float64) (value T) {
	if len(all) == 0 {
		return value
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1)+0.5)]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
