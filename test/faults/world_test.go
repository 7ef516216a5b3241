package faults

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/test/dynamotest"
)

// attemptTime is how long an attempt may hang in these tests.
const attemptTime = 100 * time.Millisecond

// start returns a client of an engine of its own, whose requests go over the
// wires of their contexts.
func start(t testing.TB) *dynamodb.Client {
	client := startPatient(t)
	client.Options().HTTPClient.(*http.Client).Timeout = attemptTime
	return client
}

// startPatient is start for tests in which nothing hangs.
func startPatient(t testing.TB) *dynamodb.Client {
	client, meter := dynamotest.Start(t)
	meter.Fault = throughWires
	return client
}

// world is an account of its own, in which a case happens.
type world struct {
	client *dynamodb.Client
	tenant lead.Tenant
	key    string
	log    io.Writer

	mu    sync.Mutex
	now   time.Time
	names map[string]string // of leads, in the order in which they were seen
	api   http.Handler

	// The event functions, and what is around them.
	ingester    *ingest.Ingester
	publisher   *publish.Publisher
	queue, dead *queue
	bus         *bus
}

var worlds atomic.Int64

// newWorld returns a world that holds so many leads, each created a while after
// the one before.
func newWorld(ctx context.Context, client *dynamodb.Client, leads int, between time.Duration) (*world, error) {
	w := &world{
		client: client,
		tenant: lead.Tenant{Account: fmt.Sprintf("w%d", worlds.Add(1)), Mode: lead.Test},
		log:    io.Discard,
		now:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		names:  map[string]string{},
		queue:  &queue{patience: attemptTime}, dead: &queue{fifo: true, patience: attemptTime}, bus: &bus{patience: attemptTime},
	}
	text, key := apikey.NewKey(w.tenant, apikey.Read|apikey.Write, w.now, time.Time{})
	w.key = text
	if err := w.table().CreateKey(ctx, key); err != nil {
		return nil, err
	}
	w.reborn()
	for i := range leads {
		a := w.call(ctx, request{method: "POST", body: fmt.Sprintf(`{"lead_name":"lead %d","city":"here"}`, i)})
		if a.status != http.StatusCreated {
			return nil, fmt.Errorf("a lead to begin with: %v", a)
		}
		w.pass(between)
	}
	w.reborn()
	return w, nil
}

// process returns the API as another process has it: it remembers nothing of
// keys, lanes and ids.
func (w *world) process() http.Handler {
	table := w.table()
	return api.New(api.Config{
		Leads: table, Keys: table, Now: w.clock,
		Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}).Handler(api.Routes()...)
}

// table returns the table as another process has it.
func (w *world) table() *dynamo.Table {
	table := dynamo.New(w.client, dynamotest.TableName)
	table.Now = w.clock
	return table
}

// reborn starts the world's processes anew.
func (w *world) reborn() {
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	w.api = w.process()
	w.ingester = &ingest.Ingester{Tenant: w.tenant, Leads: w.table(), Queue: w.queue, DeadLetters: w.dead, Files: files{}, Log: log}
	w.publisher = &publish.Publisher{Bus: w.bus, Log: log}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// request is one of a client of the world. In path and body, lead_1 stands for
// the id of the first lead, and so on.
type request struct {
	method, path string // path is what follows /api/crm/lead
	header       map[string]string
	body         string
}

// do makes the request of the world's process.
func (r request) do(ctx context.Context, w *world) answer { return w.call(ctx, r) }

// later reports whether the client is told, in our shape, to come again.
func (request) later(a answer) bool { return busy(a) }

// partly reports whether a request was carried out or not: there is nothing
// between.
func (request) partly(before, got, after string) bool { return got == before || got == after }

// margin is what the API keeps for sending its answer.
func (request) margin() time.Duration { return apiMargin }

// answer is what matters of an answer. Ids stand in it as in a request.
type answer struct {
	status                       int
	etag, location, replay, wait string
	body                         string
}

func (a answer) String() string {
	return fmt.Sprintf("%d etag %s location %s replayed %q retry-after %q %s", a.status, a.etag, a.location, a.replay, a.wait, brief(a.body))
}

var ordinary = regexp.MustCompile(`"[a-z_]+":(null|false|"__user"|"Lead"),?`)

// brief leaves out the fields that have the values of an empty lead.
func brief(text string) string { return ordinary.ReplaceAllString(text, "") }

// call makes a request of the world's process.
func (w *world) call(ctx context.Context, r request) answer { return w.callOn(ctx, w.api, r) }

func (w *world) callOn(ctx context.Context, process http.Handler, r request) answer {
	hr := httptest.NewRequestWithContext(ctx, r.method, "/api/crm/lead"+w.ids(r.path), strings.NewReader(w.ids(r.body)))
	hr.Header.Set("Authorization", "Bearer "+w.key)
	for name, value := range r.header {
		hr.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	process.ServeHTTP(recorder, hr)
	return w.answer(recorder.Code, recorder.Header(), recorder.Body.String())
}

func (w *world) answer(status int, h http.Header, body string) answer {
	body = strings.ReplaceAll(body, h.Get("Request-Id"), "REQUEST-ID")
	return answer{
		status: status, etag: h.Get("ETag"), location: w.named(h.Get("Location")),
		replay: h.Get("Idempotent-Replayed"), wait: h.Get("Retry-After"), body: w.named(body),
	}
}

var (
	idPattern   = regexp.MustCompile(`lead_[0-9a-hjkmnp-tv-z]{26}`)
	namePattern = regexp.MustCompile(`lead_\d{1,3}\b`)
)

// named puts names in the place of ids.
func (w *world) named(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return idPattern.ReplaceAllStringFunc(text, func(id string) string {
		if w.names[id] == "" {
			w.names[id] = fmt.Sprintf("lead_%d", len(w.names)+1)
		}
		return w.names[id]
	})
}

// ids puts ids in the place of names.
func (w *world) ids(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return namePattern.ReplaceAllStringFunc(text, func(name string) string {
		for id, n := range w.names {
			if n == name {
				return id
			}
		}
		return name
	})
}

// list is the list of all leads.
func (w *world) list(ctx context.Context) answer {
	// One that does not add up is tried until the deadline.
	soon, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return w.call(soon, request{method: "GET", path: "?limit=100"})
}

// see is all that a client can see of the world.
func (request) see(ctx context.Context, w *world) string {
	all := w.list(ctx)
	text := fmt.Sprintf("%d %s", all.status, all.body)
	for _, name := range namePattern.FindAllString(all.body, -1) {
		if one := w.call(ctx, request{method: "GET", path: "/" + name}); one.status != 200 {
			text += fmt.Sprintf("\n%s %d", name, one.status)
		} else {
			text += "\n" + name + " " + one.etag
		}
	}
	return text
}
