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
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// columns are the operations of the report.
var columns = []string{
	"create", "create with key", "retrieve", "list", "update", "update If-Match", "delete", "delete If-Match",
	"in: SQS", "in: SQS FIFO", "in: EventBridge", "in: SNS", "in: S3", "in: many leads", "out: changes", "two at once", "many at once", "real processes",
}

// act is something that a client or a source does to a world, and may do again.
type act interface {
	do(context.Context, *world) answer
	// later reports whether an answer says to come again.
	later(answer) bool
	// margin is the time that the product keeps for its answer.
	margin() time.Duration
	// see returns what has come of it so far, all of it that matters.
	see(context.Context, *world) string
	// partly reports whether what was seen can be found on the way from how it
	// was before to how it must be after, when the act was told to come again.
	partly(before, got, after string) bool
}

// operation is an act on a world of two leads.
type operation struct {
	column, name string
	between      time.Duration // the ages of the leads
	before       []act         // done before, without faults
	act          act
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
	return append([]operation{
		{column: "create", name: "create", act: create},
		{column: "create with key", name: "create with a key", act: keyed},
		{column: "create with key", name: "again, the lead changed since", before: []act{keyed, at(patch, "/lead_3")}, act: keyed},
		{column: "create with key", name: "again, the lead gone since", before: []act{keyed, at(remove, "/lead_3")}, act: keyed},
		{column: "create with key", name: "again with another body", before: []act{keyed}, act: other},
		{column: "retrieve", name: "retrieve", act: get},
		{column: "retrieve", name: "retrieve what is known", act: on(get, "If-None-Match", `"1"`)},
		{column: "retrieve", name: "retrieve what is gone", before: []act{remove}, act: get},
		{column: "list", name: "list", act: request{method: "GET"}},
		{column: "list", name: "list the leads of many days", between: day, act: request{method: "GET", path: "?limit=1&offset=1"}},
		{column: "update", name: "update", act: patch},
		{column: "update", name: "update nothing", act: request{method: "PATCH", path: "/lead_1"}},
		{column: "update", name: "update what is gone", before: []act{remove}, act: patch},
		{column: "update If-Match", name: "update one version", act: on(patch, "If-Match", `"1"`)},
		{column: "update If-Match", name: "update a stale version", before: []act{patch}, act: on(patch, "If-Match", `"1"`)},
		{column: "delete", name: "delete", act: remove},
		{column: "delete", name: "delete a lead of another day", between: day, act: remove},
		{column: "delete", name: "delete what is gone", before: []act{remove}, act: remove},
		{column: "delete If-Match", name: "delete one version", act: on(remove, "If-Match", `"1"`)},
		{column: "delete If-Match", name: "delete a stale version", before: []act{patch}, act: on(remove, "If-Match", `"1"`)},
	}, deliveries()...)
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
	for _, earlier := range o.before {
		if a := earlier.do(ctx, world); a.status >= 300 {
			return before, first, second, fmt.Errorf("before it: %v", a)
		}
		world.pass(time.Second)
	}
	before = o.act.see(ctx, world)
	world.reborn()
	built := context.WithValue(ctx, buildKey{}, b)
	if b != nil { // it may never come to an end
		var cancel context.CancelFunc
		built, cancel = context.WithTimeout(built, 5*time.Second)
		defer cancel()
	}
	bounded, cancel := context.WithTimeout(over(built, w), limit)
	defer cancel()
	first.answer = o.act.do(bounded, world)
	first.state = o.act.see(ctx, world)
	second.answer = o.act.do(built, world)
	second.state = o.act.see(ctx, world)
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
	silent bool // it may last until the deadline
}

// silence is how long a call tries when nothing gets through.
const silence = 60 * time.Millisecond

// trials are a fault at each exchange of each operation, alone; those that
// hide what was done, followed by each other; each followed by nothing, and each
// over and over, until the time is up, which then are done again.
func trials(all []baseline) []trial {
	var alone, hidden, silenced, lasting []trial
	chance := rand.New(rand.NewPCG(*seed, 1))
	for i := range all {
		b := &all[i]
		for n, x := range b.exchanges {
			possible := faults(x)
			hiding := slices.DeleteFunc(slices.Clone(possible), func(f fault) bool { return !f.done || f.name == "sent twice" })
			for _, f := range possible {
				how := fmt.Sprintf("%s, request %d (%s): ", b.name, n+1, x.operation)
				row := atEach.ReplaceAllString(f.name, "at each write")
				alone = append(alone, trial{
					b, row, how + f.name,
					func() wire { return script(n, f.wire) }, false,
				})
				silenced = append(silenced, trial{
					b, row + ", then silence", how + f.name + ", and nothing more",
					func() wire { return blackout(n, f.wire) }, true,
				})
				lasting = append(lasting, trial{
					b, row + ", over and over", how + f.name + ", over and over",
					func() wire { return blackoutOf(n, f.wire) }, true,
				})
				if writes(x) {
					first := hiding[chance.IntN(len(hiding))]
					hidden = append(hidden, trial{
						b, "done unsaid, then " + row, how + first.name + ", then twice " + f.name,
						func() wire { return script(n, first.wire, f.wire, f.wire) }, false,
					})
				}
			}
		}
	}
	return slices.Concat(alone, hidden, silenced, lasting)
}

var writes = of("UpdateItem", "TransactWriteItems", "SendMessageBatch", "PutEvents")

// more are the rows of more than one fault.
var more = regexp.MustCompile(`then|over and over`)

var atEach = regexp.MustCompile(`at write \d+`)

// apiMargin is what the API keeps for sending its answer.
const apiMargin = 300 * time.Millisecond

// try plays a case and judges it.
func (c *trial) try(ctx context.Context, client *dynamodb.Client, b build) (v verdict, why string, err error) {
	limit := time.Minute
	if c.silent {
		limit = c.act.margin() + silence
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
	if !c.silent || !c.act.later(got.answer) {
		return compare(got, c.first)
	}
	if c.act.partly(c.untouched, got.state, c.first.state) {
		return right
	}
	return worse(got.state, c.first.state)
}

// judgeSecond judges the client's second attempt.
func (c *trial) judgeSecond(first, got outcome) verdict {
	if c.silent && c.act.later(first.answer) && first.state == c.untouched && compare(got, c.first) == right {
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
		// Of what is more than one fault, an eighth, each time another.
		chance := rand.New(rand.NewPCG(*seed, 2))
		all = slices.DeleteFunc(all, func(c trial) bool { return more.MatchString(c.row) && chance.IntN(8) > 0 })
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
	t.Parallel()
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
