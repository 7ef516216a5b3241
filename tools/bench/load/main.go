// Command load sends leads serve a steady load of mixed requests, as many a
// second as it is told whether the answers come or not, and in turn the database
// alone, through the bare SDK: the very requests that the API makes of it, planned
// beforehand (bare.go). What lies between the two is the price of the
// API. "make bench-load" calls it.
//
//	go run . [-rate N] [-for DURATION] [-rounds N]
//
// It is a module of its own, so that the product's has no part in what it
// needs. It loads nothing but this machine and ends by itself.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"overplane.dev/leads/pkg/engine"
)

// root is that of the repository.
const root = "../../.."

func main() {
	rate := flag.Int("rate", 200, "send `N` requests a second")
	lasting := flag.Duration("for", 5*time.Second, "send them for a `DURATION` at a time")
	rounds := flag.Int("rounds", 3, "send them `N` times to each in turn")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *rate < 1 || *rate > 10_000 || *lasting <= 0 || *lasting > time.Minute || *rounds < 1 || *rounds > 20 {
		fmt.Fprintln(os.Stderr, "load: at most 10000 requests a second, for a minute, 20 times")
		os.Exit(2)
	}
	if err := run(ctx, vegeta.Rate{Freq: *rate, Per: time.Second}, *lasting, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// A side is one of the two that are compared: an engine of its own, and what
// stands before it.
type side struct {
	name     string
	requests *requests
	client   *http.Client
	total    vegeta.Metrics
	each     map[string]*vegeta.Metrics
}

func run(ctx context.Context, rate vegeta.Rate, lasting time.Duration, rounds int) error {
	dir, err := os.MkdirTemp("", "leads-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	n := rate.Freq * int(lasting.Seconds()+1) * rounds // at most
	var sides []*side
	var serving *server
	for _, name := range []string{"leads serve", "the database alone"} {
		db, err := engine.Start(ctx, engine.Options{Data: engine.Memory, Log: os.Stderr})
		if err != nil {
			return err
		}
		defer db.Stop()
		requests, err := prepare(ctx, db.Endpoint(), n)
		if err != nil {
			return err
		}
		s := &side{name: name, requests: requests, each: map[string]*vegeta.Metrics{}}
		if serving == nil {
			if serving, err = serve(ctx, dir, db.Endpoint()); err != nil {
				return err
			}
			defer serving.stop()
			requests.url = serving.url
			s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}
		} else {
			requests.url = "http://database" // nobody dials it
			bare, err := plan(ctx, db.Endpoint(), requests, n)
			if err != nil {
				return err
			}
			s.client = &http.Client{Transport: bare}
		}
		sides = append(sides, s)
	}

	fmt.Printf("%d requests a second for %v, %d times in turn: %s\n", rate.Freq, lasting, rounds, mix)
	for range rounds {
		for _, s := range sides {
			s.attack(rate, lasting)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	for _, s := range sides {
		s.close()
	}
	print(sides, time.Duration(rounds)*lasting)
	memory, err := serving.peakMemory()
	fmt.Printf("\nleads serve took at most %.0f MB of memory.\n", memory)
	return err
}

// attack sends requests in an open loop: each at its time, also when earlier
// ones have no answer yet, and counts what they wait (so that a server that
// stalls is charged for all that it lets wait).
func (s *side) attack(rate vegeta.Rate, lasting time.Duration) {
	attacker := vegeta.NewAttacker(vegeta.Client(s.client), vegeta.Workers(16), vegeta.MaxWorkers(512))
	for result := range attacker.Attack(s.requests.next, rate, lasting, s.name) {
		s.total.Add(result)
		operation := operationOf(result.Method, result.URL[strings.Index(result.URL, collection):])
		if s.each[operation] == nil {
			s.each[operation] = &vegeta.Metrics{}
		}
		s.each[operation].Add(result)
	}
}

func (s *side) close() {
	s.total.Close()
	for _, m := range s.each {
		m.Close()
	}
}

func print(sides []*side, attacked time.Duration) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\trequests\tgood a second\tp50, ms\tp99, ms\tp99.9, ms\terrors\t")
	row := func(name string, m *vegeta.Metrics) {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%d\t\n", name, m.Requests, m.Success*float64(m.Requests)/attacked.Seconds(),
			ms(m.Latencies.Quantile(0.5)), ms(m.Latencies.Quantile(0.99)), ms(m.Latencies.Quantile(0.999)),
			m.Requests-uint64(m.Success*float64(m.Requests)+0.5))
	}
	for _, s := range sides {
		row(s.name, &s.total)
		for _, operation := range operations {
			if m := s.each[operation]; m != nil {
				row(operation, m)
			}
		}
		for _, text := range s.total.Errors {
			fmt.Printf("%s: %s\n", s.name, text)
		}
	}
	t.Flush()
	for _, q := range []float64{0.5, 0.99} {
		ours, alone := sides[0].total.Latencies.Quantile(q), sides[1].total.Latencies.Quantile(q)
		fmt.Printf("At p%.0f leads serve takes %.2f ms or %.0f %% longer than the database alone.\n",
			100*q, ms(ours-alone), 100*(float64(ours)/float64(alone)-1))
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// server is leads serve.
type server struct {
	url string
	cmd *exec.Cmd
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// serve builds and starts leads serve over an engine.
func serve(ctx context.Context, dir, endpoint string) (*server, error) {
	program := filepath.Join(dir, "leads")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/leads")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output)
	}
	cmd := exec.Command(program, "serve", "-addr", "127.0.0.1:0", "-data", filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+endpoint, "LEADS_TABLE="+tableName)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && s.url == "" {
		s.url = address.FindString(lines.Text())
	}
	if s.url == "" {
		return nil, errors.Join(errors.New("leads serve does not say where it listens"), s.stop())
	}
	go func() {
		for lines.Scan() { // so that it can go on talking
		}
	}()
	return s, nil
}

func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// peakMemory returns the most memory that leads serve had, in megabytes.
func (s *server) peakMemory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if match == nil {
		return 0, errors.New("the kernel does not tell how much memory leads serve had")
	}
	kb, err := strconv.ParseFloat(string(match[1]), 64)
	return kb * 1024 / 1e6, err
}
