// Command load sends leads serve a steady load of mixed requests, as many a
// second as it is told whether the answers come or not, and in turn two others
// that ask an engine the very same and do nothing else (bare.go): the smallest
// server that there could be, a process of its own, and the bare SDK in this
// process. What lies between leads serve and the smallest server is the price of
// the API, and between that and the SDK the price of a process with HTTP.
// "make bench-load" calls it.
//
//	go run . [-rate N] [-for DURATION] [-rounds N]
//
// It is a module of its own, so that the product's has no part in what it
// needs. It loads nothing but this machine and ends by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/localdb"
)

// warming is how long each side is under load before it counts.
const warming = time.Second

func main() {
	rate := flag.Int("rate", 200, "send `N` requests a second")
	lasting := flag.Duration("for", 2*time.Second, "send them for a `DURATION` at a time")
	rounds := flag.Int("rounds", 7, "send them `N` times to each in turn")
	smallest := flag.String("smallest", "", "be the smallest server over the engine at the `URL`: for the command itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *rate < 1 || *rate > 10_000 || *lasting <= 0 || *lasting > time.Minute || *rounds < 1 || *rounds > 20 {
		fmt.Fprintln(os.Stderr, "load: at most 10000 requests a second, for a minute, 20 times")
		os.Exit(2)
	}
	l := load{vegeta.Rate{Freq: *rate, Per: time.Second}, *lasting, *rounds}
	var err error
	if *smallest != "" {
		err = serveBare(ctx, *smallest, l)
	} else {
		err = l.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// load says what is sent.
type load struct {
	rate    vegeta.Rate
	lasting time.Duration
	rounds  int
}

// requests returns how many there are at most.
func (l load) requests() int {
	return l.rate.Freq * int((warming+l.lasting*time.Duration(l.rounds)).Seconds()+float64(l.rounds+1))
}

// A side is one of those that are compared: an engine of its own, and what
// stands before it.
type side struct {
	name     string
	requests *requests
	client   *http.Client
	server   *server // nil for this process

	total  vegeta.Metrics
	each   map[string]*vegeta.Metrics
	rounds []round
	used   time.Duration // of the processor, by the server
}

// round is what one turn of a side gave, in milliseconds.
type round struct{ p50, p99 float64 }

func (l load) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "leads-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	var sides []*side
	for _, begin := range []func(context.Context, load, string, string) (*side, error){leadsServe, smallestServer, databaseAlone} {
		db, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
		if err != nil {
			return err
		}
		defer db.Stop()
		s, err := begin(ctx, l, db.Endpoint(), dir)
		if err != nil {
			return err
		}
		if s.server != nil {
			defer s.server.stop() //nolint:errcheck
		}
		sides = append(sides, s)
	}

	fmt.Printf("%d requests a second for %v, %d times in turn: %s\n", l.rate.Freq, l.lasting, l.rounds, mix)
	for _, s := range sides {
		s.forget()
		if err := s.attack(l.rate, warming); err != nil {
			return err
		}
		s.forget()
	}
	for round := range l.rounds {
		for i := range sides {
			if err := sides[(round+i)%len(sides)].attack(l.rate, l.lasting); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	for _, s := range sides {
		s.close()
	}
	print(sides, time.Duration(l.rounds)*l.lasting)
	memory, err := sides[0].server.peakMemory()
	fmt.Printf("\nleads serve took at most %.0f MB of memory.\n", memory)
	return err
}

// leadsServe returns the side of leads serve.
func leadsServe(ctx context.Context, l load, endpoint, dir string) (*side, error) {
	r, err := prepare(ctx, dynamo.New(client(endpoint), tableName), l.requests())
	if err != nil {
		return nil, err
	}
	server, url, err := startLeads(ctx, dir, endpoint)
	if err != nil {
		return nil, err
	}
	r.url = url
	return &side{name: "leads serve", requests: r, client: overHTTP(), server: server}, nil
}

// smallestServer returns the side of a server that does only what it must.
func smallestServer(_ context.Context, l load, endpoint, _ string) (*side, error) {
	server, said, err := startSmallest(endpoint, l)
	if err != nil {
		return nil, err
	}
	r := &requests{url: said.URL, kept: said.Kept, doomed: said.Doomed}
	return &side{name: "the smallest server", requests: r, client: overHTTP(), server: server}, nil
}

// databaseAlone returns the side of the bare SDK.
func databaseAlone(ctx context.Context, l load, endpoint, _ string) (*side, error) {
	b, r, err := plan(ctx, endpoint, l)
	if err != nil {
		return nil, err
	}
	r.url = "http://database" // nobody dials it
	return &side{name: "the database alone", requests: r, client: &http.Client{Transport: b}}, nil
}

func overHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}
}

// attack sends requests in an open loop: each at its time, also when earlier
// ones have no answer yet, and counts what they wait (so that a server that
// stalls is charged for all that it lets wait).
func (s *side) attack(rate vegeta.Rate, lasting time.Duration) error {
	before, err := s.server.cpu()
	if err != nil {
		return err
	}
	var now vegeta.Metrics
	attacker := vegeta.NewAttacker(vegeta.Client(s.client), vegeta.Workers(16), vegeta.MaxWorkers(512))
	for result := range attacker.Attack(s.requests.next, rate, lasting, s.name) {
		now.Add(result)
		s.total.Add(result)
		operation := operationOf(result.Method, result.URL[strings.Index(result.URL, collection):])
		if s.each[operation] == nil {
			s.each[operation] = &vegeta.Metrics{}
		}
		s.each[operation].Add(result)
	}
	after, err := s.server.cpu()
	s.used += after - before
	s.rounds = append(s.rounds, round{ms(now.Latencies.Quantile(0.5)), ms(now.Latencies.Quantile(0.99))})
	return err
}

// forget makes the side's figures those of no request.
func (s *side) forget() {
	s.total, s.each, s.rounds, s.used = vegeta.Metrics{}, map[string]*vegeta.Metrics{}, nil, 0
}

func (s *side) close() {
	s.total.Close()
	for _, m := range s.each {
		m.Close()
	}
}

// cpu returns what a request took of the processor in the server, in milliseconds.
func (s *side) cpu() float64 { return ms(s.used) / float64(s.total.Requests) }

func print(sides []*side, attacked time.Duration) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\trequests\tgood a second\tp50, ms\tp99, ms\tp99.9, ms\terrors\tCPU, ms each\t")
	row := func(name string, m *vegeta.Metrics, cpu string) {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%d\t%s\t\n", name, m.Requests, m.Success*float64(m.Requests)/attacked.Seconds(),
			ms(m.Latencies.Quantile(0.5)), ms(m.Latencies.Quantile(0.99)), ms(m.Latencies.Quantile(0.999)),
			m.Requests-uint64(m.Success*float64(m.Requests)+0.5), cpu)
	}
	for _, s := range sides {
		cpu := ""
		if s.server != nil {
			cpu = fmt.Sprintf("%.2f", s.cpu())
		}
		row(s.name, &s.total, cpu)
		for _, operation := range operations {
			if m := s.each[operation]; m != nil {
				row(operation, m, "")
			}
		}
		for _, text := range s.total.Errors {
			fmt.Printf("%s: %s\n", s.name, text)
		}
	}
	t.Flush()
	fmt.Println("\nWhat leads serve takes more, in the median of the rounds (and in each):")
	fmt.Fprintln(t, "than\tp50\tp99\tCPU\t")
	for _, other := range sides[1:] {
		fmt.Fprintf(t, "%s\t%s\t%s\t", other.name,
			sides[0].beside(other, func(r round) float64 { return r.p50 }),
			sides[0].beside(other, func(r round) float64 { return r.p99 }))
		if other.server != nil {
			fmt.Fprintf(t, "%.0f %%", 100*(sides[0].cpu()/other.cpu()-1))
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush()
}

// beside says how much more of a figure a side has than another: in the median
// of the rounds, so that a moment in which the machine was busy counts for little,
// and from where to where.
func (s *side) beside(other *side, figure func(round) float64) string {
	var more []float64
	for i := range s.rounds {
		more = append(more, 100*(figure(s.rounds[i])/figure(other.rounds[i])-1))
	}
	slices.Sort(more)
	return fmt.Sprintf("%.0f %% (%.0f to %.0f)", more[len(more)/2], more[0], more[len(more)-1])
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
