package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// action is something that a client or an event source does, and may repeat.
type action interface {
	run(context.Context, *fixture) response
	// isRetryable reports whether a response tells the client to retry.
	isRetryable(response) bool
	// margin returns the time that the product reserves for its response.
	margin() time.Duration
	// observe returns all of the account that the action can change.
	observe(context.Context, *fixture) string
	// isPartial reports whether an outcome is possible where the action was told
	// to retry, given the state before it and the outcome of its success.
	isPartial(before string, got, success outcome) bool
	// isCompletion reports whether an outcome is possible where the action took
	// effect in part and was repeated, given those of its success and of its
	// repetition.
	isCompletion(got, success, repetition outcome) bool
}

// operation is an action on an account with two leads.
type operation struct {
	column, name string        // column is the row of the results
	interval     time.Duration // between the creations of the two leads
	before       []action      // run before it, without faults
	action       action
}

// otherDay is an interval after which a lead belongs to another day.
const otherDay = 26 * time.Hour

func operations() []operation {
	create := request{method: "POST", body: `{"lead_name":"new","annual_revenue":1.50}`}
	keyed := request{method: "POST", header: map[string]string{"Idempotency-Key": "key"}, body: create.body}
	other := request{method: "POST", header: keyed.header, body: `{"lead_name":"other"}`}
	update := request{method: "PATCH", path: "/lead_1", body: `{"city":"there"}`}
	remove := request{method: "DELETE", path: "/lead_1"}
	get := request{method: "GET", path: "/lead_1"}
	with := func(r request, header, value string) request {
		r.header = map[string]string{header: value}
		return r
	}
	updateNew := update
	updateNew.path = "/lead_3"
	removeNew := remove
	removeNew.path = "/lead_3"
	return append([]operation{
		{column: "create", name: "create", action: create},
		{column: "create with key", name: "create with a key", action: keyed},
		{column: "create with key", name: "repeated create, lead updated since", before: []action{keyed, updateNew}, action: keyed},
		{column: "create with key", name: "repeated create, lead deleted since", before: []action{keyed, removeNew}, action: keyed},
		{column: "create with key", name: "repeated create with another body", before: []action{keyed}, action: other},
		{column: "retrieve", name: "retrieve", action: get},
		{column: "retrieve", name: "retrieve a known version", action: with(get, "If-None-Match", `"1"`)},
		{column: "retrieve", name: "retrieve a deleted lead", before: []action{remove}, action: get},
		{column: "list", name: "list", action: request{method: "GET"}},
		{column: "list", name: "list leads of several days", interval: otherDay, action: request{method: "GET", path: "?limit=1&offset=1"}},
		{column: "update", name: "update", action: update},
		{column: "update", name: "update without fields", action: request{method: "PATCH", path: "/lead_1"}},
		{column: "update", name: "update a deleted lead", before: []action{remove}, action: update},
		{column: "update If-Match", name: "update a version", action: with(update, "If-Match", `"1"`)},
		{column: "update If-Match", name: "update an old version", before: []action{update}, action: with(update, "If-Match", `"1"`)},
		{column: "delete", name: "delete", action: remove},
		{column: "delete", name: "delete a lead of another day", interval: otherDay, action: remove},
		{column: "delete", name: "delete a deleted lead", before: []action{remove}, action: remove},
		{column: "delete If-Match", name: "delete a version", action: with(remove, "If-Match", `"1"`)},
		{column: "delete If-Match", name: "delete an old version", before: []action{update}, action: with(remove, "If-Match", `"1"`)},
	}, slices.Concat(batchOperations(), upsertOperations(), eventOperations())...)
}

// outcome is a response, and what can be observed after it.
type outcome struct {
	response response
	state    string
}

func (o outcome) String() string { return o.response.String() + "\n     " + omitDefaults(o.state) }

// prepare returns a fixture in which the operation can run.
func (o *operation) prepare(ctx context.Context, client *dynamodb.Client) (*fixture, error) {
	f, err := makeFixture(ctx, client, 2, o.interval+time.Second)
	if err != nil {
		return nil, err
	}
	for _, earlier := range o.before {
		if got := earlier.run(ctx, f); got.status >= 300 {
			return nil, fmt.Errorf("before %s: %v", o.name, got)
		}
		f.advance(time.Second)
	}
	f.restart()
	return f, nil
}

// runTwice runs the operation in a new fixture, within limit and under the
// injector, and then again without faults. Both times the mutant, which may be
// nil, takes part.
func (o *operation) runTwice(ctx context.Context, client *dynamodb.Client, limit time.Duration, i injector, m *mutant) (first, second outcome, err error) {
	f, err := o.prepare(ctx, client)
	if err != nil {
		return first, second, err
	}
	mutated := conditions{mutant: m}.in(ctx)
	if m != nil { // its retries may not end
		f.listTimeout = 5 * time.Second
		var cancel context.CancelFunc
		mutated, cancel = context.WithTimeout(mutated, 5*time.Second)
		defer cancel()
	}
	limited, cancel := context.WithTimeout(mutated, limit)
	first.response = o.action.run(withFaults(limited, i), f)
	cancel()
	first.state = o.action.observe(ctx, f)
	second.response = o.action.run(mutated, f)
	second.state = o.action.observe(ctx, f)
	return first, second, nil
}

// baseline is what an operation does without faults.
type baseline struct {
	operation
	calls         []*call // of the first time
	before        string  // the state
	first, second outcome
}

func newBaselines(t testing.TB, client *dynamodb.Client) (all []baseline) {
	for _, o := range operations() {
		b := baseline{operation: o}
		f, err := o.prepare(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		b.before = o.action.observe(t.Context(), f)
		var mu sync.Mutex
		recordCall := func(c *call) (*http.Response, error) {
			mu.Lock()
			b.calls = append(b.calls, c)
			mu.Unlock()
			return c.send()
		}
		if b.first, b.second, err = o.runTwice(t.Context(), client, time.Minute, recordCall, nil); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		for _, state := range []string{b.before, b.first.state, b.second.state} {
			if !strings.HasPrefix(state, "200 ") {
				t.Fatalf("%s, without faults: %s", o.name, state)
			}
		}
		all = append(all, b)
	}
	return all
}

// faultCase is an operation with faults at one of its calls.
type faultCase struct {
	*baseline
	row         string // of the results
	description string
	newInjector func() injector
	severalFaults,
	untilDeadline bool // it may last until the deadline
}

// retryTime is how long a request is retried when no call succeeds.
const retryTime = 60 * time.Millisecond

// newCases returns for each call of each operation: each fault alone; each fault
// twice after a hidden success; each fault followed by an unreachable database;
// and each fault repeated until the deadline.
func newCases(all []baseline) (cases []faultCase) {
	random := rand.New(rand.NewPCG(*seed, 1))
	unreachable := networkError("dial", syscall.ECONNREFUSED)
	send := injector((*call).send)
	for i := range all {
		b := &all[i]
		for n, c := range b.calls {
			faults := faultsOf(c)
			hidden := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !f.hidden })
			for _, f := range faults {
				row := writeNumber.ReplaceAllString(f.name, "at each write")
				description := fmt.Sprintf("%s, call %d (%s): %s", b.name, n+1, c.operation, f.name)
				add := func(suffix string, untilDeadline bool, rest injector, first ...injector) {
					cases = append(cases, faultCase{
						b, row + suffix, description + suffix,
						func() injector { return startingAt(n, rest, first...) }, suffix != "", untilDeadline,
					})
				}
				add("", false, send, f.inject)
				add(", then unreachable", true, unreachable, f.inject)
				add(", repeated", true, f.inject)
				if isWrite(c) {
					first := hidden[random.IntN(len(hidden))]
					add(" twice, after a hidden success", false, send, first.inject, f.inject, f.inject)
					cases[len(cases)-1].description += " (" + first.name + ")"
				}
			}
		}
	}
	return cases
}

var (
	isWrite     = isOperation("UpdateItem", "TransactWriteItems", "SendMessageBatch", "PutEvents")
	writeNumber = regexp.MustCompile(`at write \d+`)
)

// run runs a case and compares it with the baseline.
func (c *faultCase) run(ctx context.Context, client *dynamodb.Client, m *mutant) (v verdict, difference string, err error) {
	limit := time.Minute
	if c.untilDeadline {
		limit = c.action.margin() + retryTime
	}
	first, second, err := c.runTwice(ctx, client, limit, c.newInjector(), m)
	if err != nil {
		return wrong, "", err
	}
	if v := c.checkFirst(first); v != correct {
		return v, fmt.Sprintf("got  %v\nwant %v", first, c.first), nil
	}
	if v := c.checkSecond(first, second); v != correct {
		return v, fmt.Sprintf("the second time\ngot  %v\nwant %v\n  or %v", second, c.first, c.second), nil
	}
	return correct, "", nil
}

// checkFirst checks the first outcome. Either it equals that of the baseline, or
// the client is told to retry and the operation took effect or not.
func (c *faultCase) checkFirst(got outcome) verdict {
	if !c.untilDeadline || !c.action.isRetryable(got.response) {
		return compare(got, c.first)
	}
	if c.action.isPartial(c.before, got, c.first) {
		return correct
	}
	return compareStates(got.state, c.first.state)
}

// checkSecond checks the outcome of the client's retry.
func (c *faultCase) checkSecond(first, got outcome) verdict {
	if c.untilDeadline && c.action.isRetryable(first.response) &&
		(first.state == c.before && compare(got, c.first) == correct || c.action.isCompletion(got, c.first, c.second)) {
		return correct
	}
	return compare(got, c.second)
}

// isRetryLater reports whether a response is a complete 429 or 503 with
// Retry-After.
func isRetryLater(r response) bool {
	seconds, err := strconv.Atoi(r.retryAfter)
	return err == nil && seconds > 0 &&
		(r.status == 429 && strings.Contains(r.body, `"code":"rate_limited"`) ||
			r.status == 503 && strings.Contains(r.body, `"code":"unavailable"`)) &&
		strings.Contains(r.body, `"request_id":"REQUEST-ID","errors":[]}}`)
}

func compare(got, want outcome) verdict {
	switch {
	case got == want:
		return correct
	case got.state == want.state:
		return wrong
	}
	return compareStates(got.state, want.state)
}

var (
	totalPattern   = regexp.MustCompile(`"total":(\d+)`)
	versionPattern = regexp.MustCompile(`(?m)^lead_\d+ "(\d+)"$`)
)

// compareStates says how a state differs from the one it must be.
func compareStates(got, want string) verdict {
	if !strings.HasPrefix(got, "200 ") {
		return wrong // the list failed
	}
	for _, pattern := range []*regexp.Regexp{namePattern, totalPattern, versionPattern} {
		g, w := sum(pattern, got), sum(pattern, want)
		switch {
		case g > w:
			return doubled
		case g < w:
			return lost
		}
	}
	return wrong
}

// sum returns the sum of the numbers that a pattern captures, or the number of
// its matches where it captures none.
func sum(pattern *regexp.Regexp, text string) (sum int) {
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		n := 1
		if len(found) > 1 {
			n, _ = strconv.Atoi(found[1])
		}
		sum += n
	}
	return sum
}

// runCases runs cases, several at a time, and reports each verdict.
func runCases(t testing.TB, client *dynamodb.Client, m *mutant, cases []faultCase, report func(c *faultCase, v verdict, difference string)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	work := make(chan *faultCase)
	for range 8 {
		wg.Go(func() {
			for c := range work {
				v, difference, err := c.run(t.Context(), client, m)
				if err != nil {
					t.Errorf("%s: %v", c.description, err)
				}
				mu.Lock()
				report(c, v, difference)
				mu.Unlock()
			}
		})
	}
	for i := range cases {
		work <- &cases[i]
	}
	close(work)
	wg.Wait()
}

// TestEachFaultAtEachDatabaseCall compares each case with the same operation
// without faults.
func TestEachFaultAtEachDatabaseCall(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	cases := newCases(newBaselines(t, client))
	if *effort == 1 {
		// An eighth of the cases with several faults, selected by the seed.
		random := rand.New(rand.NewPCG(*seed, 2))
		cases = slices.DeleteFunc(cases, func(c faultCase) bool { return c.severalFaults && random.IntN(8) > 0 })
	}
	runCases(t, client, nil, cases, func(c *faultCase, v verdict, difference string) {
		record(c.row, c.column, v)
		if v != correct {
			t.Errorf("%v: %s; seed %d\n%s", v, c.description, *seed, difference)
		}
	})
}

// TestSingleFaultsDetectMutants expects a case that is not correct for each
// mutant.
func TestSingleFaultsDetectMutants(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	all := newCases(newBaselines(t, client))
	for _, m := range mutants() {
		// One at a time: under a higher load a list fails, which looks like detection.
		t.Run(m.name, func(t *testing.T) {
			cases := slices.DeleteFunc(slices.Clone(all), func(c faultCase) bool { return !strings.HasPrefix(c.column, m.operations) })
			rand.New(rand.NewPCG(*seed, 3)).Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
			found := ""
			for batch := range slices.Chunk(cases, 8) {
				runCases(t, client, &m, batch, func(c *faultCase, v verdict, difference string) {
					if v != correct {
						found = fmt.Sprintf("%v: %s\n%s", v, c.description, difference)
					}
				})
				if found != "" {
					break
				}
			}
			t.Log(found)
			if err := m.check(found != ""); err != nil {
				t.Error(err)
			}
		})
	}
}
