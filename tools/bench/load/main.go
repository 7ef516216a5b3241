// Command load sends "leads serve" a steady load of mixed requests, and in turn
// the smallest server that has the same store (smallest/main.go). The difference
// is the cost of the API: keys, validation, limits, errors and the log. "make
// bench-load" calls it.
//
//	go run . [-rate N] [-for DURATION] [-rounds N]
//
// It is a module of its own, so that the product does not depend on vegeta.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const (
	warmUpTime = time.Second
	root       = "../../.." // of the repository
)

func main() {
	rate := flag.Int("rate", 200, "send `N` requests a second")
	duration := flag.Duration("for", 2*time.Second, "send requests for this `DURATION` in each round")
	rounds := flag.Int("rounds", 7, "measure each server `N` times, in turn")
	flag.Parse()
	if *rate < 1 || *rate > 10_000 || *duration <= 0 || *duration > time.Minute || *rounds < 1 || *rounds > 20 {
		fmt.Fprintln(os.Stderr, "load: at most 10000 requests a second, a minute and 20 rounds")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, vegeta.Rate{Freq: *rate, Per: time.Second}, *duration, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rate vegeta.Rate, duration time.Duration, rounds int) error {
	dir, err := os.MkdirTemp("", "leads-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n := int((warmUpTime+time.Duration(rounds)*duration).Seconds()*float64(rate.Freq)) + rounds + 1
	ours, err := startServer(ctx, dir, "leads serve", filepath.Join(root, "cmd/leads"), n, func(address string) []string {
		return []string{"serve", "-addr", address, "-data", filepath.Join(dir, "data")}
	})
	if err != nil {
		return err
	}
	defer ours.stop()
	smallest, err := startServer(ctx, dir, "smallest server", "smallest", n, func(address string) []string { return []string{address} })
	if err != nil {
		return err
	}
	defer smallest.stop()

	servers := []*server{ours, smallest}
	for _, s := range servers {
		if _, err := s.attack(rate, warmUpTime); err != nil {
			return err
		}
	}
	results := make([][]result, len(servers)) // by server and round
	for range rounds {
		for i, s := range servers {
			r, err := s.attack(rate, duration)
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	fmt.Printf("%d requests a second for %v, medians of %d rounds: %s\n", rate.Freq, duration, rounds, mix)
	printTable(servers, results)
	return nil
}

// result is the result of one round.
type result struct {
	p50, p99, cpu float64 // milliseconds; cpu is of one request
	errors        int
}

// attack sends each request at its time, also when earlier ones have no answer
// yet. So the time that requests wait for a slow server counts.
func (s *server) attack(rate vegeta.Rate, duration time.Duration) (result, error) {
	before, err := s.cpuTime()
	if err != nil {
		return result{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}
	var metrics vegeta.Metrics
	for r := range vegeta.NewAttacker(vegeta.Client(client), vegeta.MaxWorkers(512)).Attack(s.requests.next, rate, duration, s.name) {
		metrics.Add(r)
	}
	metrics.Close()
	after, err := s.cpuTime()
	for _, text := range metrics.Errors {
		fmt.Printf("%s: %s\n", s.name, text)
	}
	good := metrics.Success*float64(metrics.Requests) + 0.5
	return result{
		p50:    ms(metrics.Latencies.P50),
		p99:    ms(metrics.Latencies.P99),
		cpu:    ms(after-before) / float64(metrics.Requests),
		errors: int(metrics.Requests) - int(good),
	}, err
}

func printTable(servers []*server, results [][]result) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tp50, ms\tp99, ms\tCPU, ms a request\terrors\t")
	for i, s := range servers {
		errors := 0
		for _, r := range results[i] {
			errors += r.errors
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%d\t\n", s.name, median(results[i], p50), median(results[i], p99), median(results[i], cpu), errors)
	}
	more := func(value func(result) float64) string {
		return fmt.Sprintf("%+.0f %%", 100*(median(results[0], value)/median(results[1], value)-1))
	}
	fmt.Fprintf(t, "difference\t%s\t%s\t%s\t\t\n", more(p50), more(p99), more(cpu))
	t.Flush()
}

func p50(r result) float64 { return r.p50 }
func p99(r result) float64 { return r.p99 }
func cpu(r result) float64 { return r.cpu }

func median(results []result, value func(result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, value(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
