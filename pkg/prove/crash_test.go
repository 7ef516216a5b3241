package prove

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
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// columns are the operations of the report.
var columns = []string{"create", "create with key", "retrieve", "list", "update", "update If-Match", "delete", "delete If-Match", "two at once", "many at once"}

// operation is something that a client does to a world of two leads.
type operation struct {
	column, name string
	between      time.Duration // the ages of the leads
	before       []request     // done before, without faults
	request      request
	// twice says that a client that repeats it after an error may do it twice:
	// nothing tells the two apart.
	twice bool
}

const day = 26 * time.Hour

func operations() []operation {
	create := request{method: "POST", body: `{"lead_name":"new","annual_revenue":1.50}`}
	keyed := request{method: "POST", header: map[string]string{"Idempotency-Key": "key"}, body: create.body}
	other := request{method: "POST", header: keyed.header, body: `{"lead_name":"other"}`}
	patch := request{method: "PATCH", path: "/lead_1", body: `{"city":"there"}`}
	remove := request{method: "DELETE", path: "/lead_1"}
	get := request{method: "GET", path: "/lead_1"}
	on := func(r request, header, value string) request {
		r.header = map[string]string{header: value}
		return r
	}
	at := func(r request, path string) request {
		r.path = path
		return r
	}
	return []operation{
		{column: "create", name: "create", request: create, twice: true},
		{column: "create with key", name: "create with a key", request: keyed},
		{column: "create with key", name: "again, the lead changed since", before: []request{keyed, at(patch, "/lead_3")}, request: keyed},
		{column: "create with key", name: "again, the lead gone since", before: []request{keyed, at(remove, "/lead_3")}, request: keyed},
		{column: "create with key", name: "again with another body", before: []request{keyed}, request: other},
		{column: "retrieve", name: "retrieve", request: get},
		{column: "retrieve", name: "retrieve what is known", request: on(get, "If-None-Match", `"1"`)},
		{column: "retrieve", name: "retrieve what is gone", before: []request{remove}, request: get},
		{column: "list", name: "list", request: request{method: "GET"}},
		{column: "list", name: "list the leads of many days", between: day, request: request{method: "GET", path: "?limit=1&offset=1"}},
		{column: "update", name: "update", request: patch, twice: true},
		{column: "update", name: "update nothing", request: request{method: "PATCH", path: "/lead_1"}},
		{column: "update", name: "update what is gone", before: []request{remove}, request: patch},
		{column: "update If-Match", name: "update one version", request: on(patch, "If-Match", `"1"`)},
		{column: "update If-Match", name: "update a stale version", before: []request{patch}, request: on(patch, "If-Match", `"1"`)},
		{column: "delete", name: "delete", request: remove},
		{column: "delete", name: "delete a lead of another day", between: day, request: remove},
		{column: "delete", name: "delete what is gone", before: []request{remove}, request: remove},
		{column: "delete If-Match", name: "delete one version", request: on(remove, "If-Match", `"1"`)},
		{column: "delete If-Match", name: "delete a stale version", before: []request{patch}, request: on(remove, "If-Match", `"1"`)},
	}
}

// outcome is what a client sees: an answer, and the world after it.
type outcome struct {
	answer answer
	state  string
}

func (o outcome) String() string { return o.answer.String() + "\n     " + brief(o.state) }

// play does the operation once in a world of its own, over a wire and a build,
// and then again, both right.
func (o *operation) play(ctx context.Context, client *dynamodb.Client, limit time.Duration, w wire, b build) (before string, first, second outcome, err error) {
	world, err := newWorld(ctx, client, 2, o.between+time.Second)
	if err != nil {
		return before, first, second, err
	}
	for _, r := range o.before {
		if a := world.call(ctx, r); a.status >= 300 {
			return before, first, second, fmt.Errorf("before it: %v", a)
		}
		world.pass(time.Second)
	}
	before = world.state(ctx)
	world.reborn()
	built := context.WithValue(ctx, buildKey{}, b)
	bounded, cancel := context.WithTimeout(over(built, w), limit)
	defer cancel()
	first.answer = world.call(bounded, o.request)
	first.state = world.state(ctx)
	second.answer = world.call(built, o.request)
	second.state = world.state(ctx)
	return before, first, second, nil
}

// baseline is what an operation does when nothing goes wrong.
type baseline struct {
	operation
	exchanges     []*exchange // of the first time
	first, second outcome
	untouched     string // the state before
}

func baselines(t testing.TB, client *dynamodb.Client) (all []baseline) {
	for _, o := range operations() {
		b := baseline{operation: o}
		record := func(x *exchange) (*http.Response, error) {
			b.exchanges = append(b.exchanges, x)
			return x.send()
		}
		var err error
		if b.untouched, b.first, b.second, err = o.play(t.Context(), client, time.Minute, record, nil); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		all = append(all, b)
	}
	return all
}

// trial is one case: faults at an exchange of an operation.
type trial struct {
	*baseline
	row    string // of the report
	how    string
	wire   func() wire
	silent bool // nothing gets through until the deadline
}

// silence is how long a call tries when nothing gets through.
const silence = 60 * time.Millisecond

// trials are a fault at each exchange of each operation, alone; those that
// hide what was done, followed by each other; and each followed by nothing,
// until the client gives up and asks again.
func trials(all []baseline) []trial {
	var alone, hidden, silenced []trial
	chance := rand.New(rand.NewPCG(*seed, 1))
	for i := range all {
		b := &all[i]
		for n, x := range b.exchanges {
			possible := faults(x)
			hiding := slices.DeleteFunc(slices.Clone(possible), func(f fault) bool { return !f.done || f.name == "sent twice" })
			for _, f := range possible {
				how := fmt.Sprintf("%s, request %d (%s): ", b.name, n+1, x.operation)
				row := atEach.ReplaceAllString(f.name, "at each write")
				alone = append(alone, trial{b, row, how + f.name,
					func() wire { return script(n, f.wire) }, false})
				silenced = append(silenced, trial{b, row + ", then silence", how + f.name + ", and nothing more",
					func() wire { return blackout(n, f.wire) }, true})
				if x.operation == "UpdateItem" || x.operation == "TransactWriteItems" {
					first := hiding[chance.IntN(len(hiding))]
					hidden = append(hidden, trial{b, "done unsaid, then " + row, how + first.name + ", then twice " + f.name,
						func() wire { return script(n, first.wire, f.wire, f.wire) }, false})
				}
			}
		}
	}
	return slices.Concat(alone, hidden, silenced)
}

var atEach = regexp.MustCompile(`at write \d+`)

// apiMargin is what the API keeps for sending its answer.
const apiMargin = 300 * time.Millisecond

// try plays a case and judges it.
func (c *trial) try(ctx context.Context, client *dynamodb.Client, b build) (v verdict, why string, err error) {
	limit := time.Minute
	if c.silent {
		limit = apiMargin + silence
	}
	_, first, second, err := c.play(ctx, client, limit, c.wire(), b)
	if err != nil {
		return wrong, "", err
	}
	if v := c.judgeFirst(first); v != right {
		return v, fmt.Sprintf("got  %v\nwant %v", first, c.first), nil
	}
	if v := c.judgeSecond(first, second); v != right {
		return v, fmt.Sprintf("the second time\ngot  %v\nwant %v\n  or %v", second, c.first, c.second), nil
	}
	return right, "", nil
}

// judgeFirst judges the first answer and the world after it. Either all is as
// if nothing had gone wrong, or the client is told to come again; then it was
// done or not, and nothing between.
func (c *trial) judgeFirst(got outcome) verdict {
	if !c.silent || !busy(got.answer) {
		return compare(got, c.first)
	}
	for _, state := range []string{c.untouched, c.first.state} {
		if got.state == state {
			return right
		}
	}
	return worse(got.state, c.first.state)
}

// judgeSecond judges the client's second attempt.
func (c *trial) judgeSecond(first, got outcome) verdict {
	if !c.silent || !busy(first.answer) {
		return compare(got, c.second)
	}
	if first.state == c.untouched && compare(got, c.first) == right {
		return right
	}
	return compare(got, c.second)
}

// busy reports whether an answer says, in our shape, to come again.
func busy(a answer) bool {
	seconds, err := strconv.Atoi(a.wait)
	return err == nil && seconds > 0 &&
		(a.status == 429 && strings.Contains(a.body, `"code":"rate_limited"`) ||
			a.status == 503 && strings.Contains(a.body, `"code":"unavailable"`)) &&
		strings.Contains(a.body, `"request_id":"REQUEST-ID","errors":[]}}`)
}

func compare(got, want outcome) verdict {
	switch {
	case got == want:
		return right
	case got.state == want.state:
		return wrong
	}
	return worse(got.state, want.state)
}

var (
	totalPattern   = regexp.MustCompile(`"total":(\d+)`)
	versionPattern = regexp.MustCompile(`(?m)^lead_\d+ "(\d+)"$`)
)

// worse says in which way a state differs from what it must be.
func worse(got, want string) verdict {
	if !strings.HasPrefix(got, "200 ") {
		return wrong // the list does not add up
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

// sum adds up what a pattern finds: numbers, or each as one.
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

// tryAll tries cases, several at a time, and hands each verdict on.
func tryAll(t testing.TB, client *dynamodb.Client, b build, trials []trial, heard func(*trial, verdict, string)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	work := make(chan *trial)
	for range 8 {
		wg.Go(func() {
			for c := range work {
				v, why, err := c.try(t.Context(), client, b)
				if err != nil {
					t.Errorf("%s: %v", c.how, err)
				}
				mu.Lock()
				heard(c, v, why)
				mu.Unlock()
			}
		})
	}
	for i := range trials {
		work <- &trials[i]
	}
	close(work)
	wg.Wait()
}

// TestEveryFaultAtEveryRequest holds each case to the same without a fault.
func TestEveryFaultAtEveryRequest(t *testing.T) {
	t.Parallel()
	client := start(t)
	all := trials(baselines(t, client))
	for _, c := range all {
		proven.row(c.row)
	}
	if *effort == 1 {
		// Of what comes after a first fault, a fourth, each time another.
		chance := rand.New(rand.NewPCG(*seed, 2))
		all = slices.DeleteFunc(all, func(c trial) bool { return strings.Contains(c.row, "then") && chance.IntN(4) > 0 })
	}
	tryAll(t, client, nil, all, func(c *trial, v verdict, why string) {
		proven.add(c.row, c.column, v)
		if v != right {
			t.Errorf("%v: %s\n%s", v, c.how, why)
		}
	})
}

// TestProofNoticesMistakes breaks the product and expects a case that says so.
func TestProofNoticesMistakes(t *testing.T) {
	client := start(t)
	all := trials(baselines(t, client))
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			some := slices.DeleteFunc(slices.Clone(all), func(c trial) bool { return !strings.HasPrefix(c.column, m.columns) })
			rand.New(rand.NewPCG(*seed, 3)).Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			for batch := range slices.Chunk(some, 8) {
				found := ""
				tryAll(t, client, m.build, batch, func(c *trial, v verdict, _ string) {
					if v != right {
						found = fmt.Sprintf("%v: %s", v, c.how)
					}
				})
				if found != "" {
					t.Log(found)
					return
				}
			}
			t.Error("no case noticed it")
		})
	}
}
