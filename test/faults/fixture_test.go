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
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/pkg/queue"
	"overplane.dev/leads/test/dynamotest"
)

// attemptTimeout bounds an attempt of a call under faults that may let it hang.
// Other calls have the product's own time limit.
const attemptTimeout = 100 * time.Millisecond

// startDatabase starts an empty database and returns a client of it. Each call is
// subject to the conditions of its context.
func startDatabase(t testing.TB) *dynamodb.Client {
	client, meter := dynamotest.Start(t)
	meter.Fault, meter.Now = intercept, nil // each fixture has its own clock
	return client
}

// fixture is an account of its own, with the API and the event functions that
// work on it.
type fixture struct {
	client *dynamodb.Client
	tenant lead.Tenant
	key    string // the API key of the client
	log    io.Writer

	// listTimeout bounds a list. Where a mutant has made counters and leads differ,
	// the product retries a list until its deadline.
	listTimeout time.Duration

	mu    sync.Mutex
	now   time.Time
	names map[string]string // lead_1 for the first id seen, and so on
	api   http.Handler

	ingester   *ingest.Ingester
	publisher  *publish.Publisher
	queue, dlq *fakeService[queue.Message]
	bus        *fakeService[publish.Event]
}

var accounts atomic.Int64

// newFixture is makeFixture for the goroutine of a test.
func newFixture(t testing.TB, client *dynamodb.Client, leads int, interval time.Duration) *fixture {
	t.Helper()
	f, err := makeFixture(t.Context(), client, leads, interval)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// makeFixture creates an account with this number of leads. The clock advances
// by interval after each of them.
func makeFixture(ctx context.Context, client *dynamodb.Client, leads int, interval time.Duration) (*fixture, error) {
	f := &fixture{
		tenant:      lead.Tenant{Account: fmt.Sprintf("f%d", accounts.Add(1)), Mode: lead.Test},
		log:         io.Discard,
		listTimeout: time.Minute,
		now:         time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		names:       map[string]string{},
	}
	f.client = dynamodb.New(client.Options(), func(o *dynamodb.Options) {
		next := o.HTTPClient.(*http.Client)
		o.HTTPClient = &http.Client{Transport: &localdb.SignatureChecker{Next: next.Transport, Now: f.clock}, Timeout: next.Timeout}
	})
	f.newServices(attemptTimeout)
	text, key := apikey.NewKey(f.tenant, apikey.Read|apikey.Write, f.now, time.Time{})
	f.key = text
	if err := f.newTable().CreateKey(ctx, key); err != nil {
		return nil, err
	}
	f.restart()
	for i := range leads {
		got := f.send(ctx, request{method: "POST", body: fmt.Sprintf(`{"lead_name":"lead %d","city":"here"}`, i)})
		if got.status != http.StatusCreated {
			return nil, fmt.Errorf("creating the fixture's leads: %v", got)
		}
		f.advance(interval)
	}
	f.restart()
	return f, nil
}

// newServices gives the fixture empty queues and an empty bus. A consumer of the
// bus ignores repeated events.
func (f *fixture) newServices(timeout time.Duration) {
	f.queue = &fakeService[queue.Message]{operation: "SendMessageBatch", timeout: timeout}
	f.dlq = &fakeService[queue.Message]{operation: "SendMessageBatch", timeout: timeout, id: func(m queue.Message) string { return m.ID }}
	f.bus = &fakeService[publish.Event]{operation: "PutEvents", timeout: timeout, id: eventID}
}

// newAPI returns the API with empty caches, as in another process.
func (f *fixture) newAPI() http.Handler { return f.newSkewedAPI(0) }

// newSkewedAPI is newAPI with a local clock that is wrong by this much.
func (f *fixture) newSkewedAPI(skew time.Duration) http.Handler {
	table := f.newTable()
	table.Now = func() time.Time { return f.clock().Add(skew) }
	return api.New(api.Config{Leads: table, Keys: table, Now: table.Now, Log: f.newLog()}).Handler(api.Routes()...)
}

func (f *fixture) newTable() *dynamo.Table {
	table := dynamo.New(f.client, dynamotest.TableName)
	table.Now = f.clock
	return table
}

func (f *fixture) newLog() *slog.Logger { return slog.New(slog.NewJSONHandler(f.log, nil)) }

// restart replaces the API and the event functions by new ones with empty caches.
func (f *fixture) restart() {
	f.api = f.newAPI()
	f.ingester = &ingest.Ingester{Tenant: f.tenant, Leads: f.newTable(), Queue: f.queue, DeadLetters: f.dlq, Files: fakeFiles{}, Log: f.newLog()}
	f.publisher = &publish.Publisher{Bus: f.bus, DeadLetters: f.dlq, Log: f.newLog()}
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// request is a request of a client. In path and body, lead_1 stands for the id
// of the first lead, and so on.
type request struct {
	method, path string // path is what follows /api/crm/lead
	header       map[string]string
	body         string
}

// response is what the tests compare of a response. Its ids are replaced as
// those of a request.
type response struct {
	status                               int
	etag, location, replayed, retryAfter string
	body                                 string
}

func (r response) String() string {
	return fmt.Sprintf("%d etag %s location %s replayed %q retry-after %q %s", r.status, r.etag, r.location, r.replayed, r.retryAfter, omitDefaults(r.body))
}

var defaultField = regexp.MustCompile(`"[a-z_]+":(null|false|"__user"|"Lead"),?`)

// omitDefaults removes the fields that have their default values.
func omitDefaults(text string) string { return defaultField.ReplaceAllString(text, "") }

// send sends a request to the fixture's API.
func (f *fixture) send(ctx context.Context, r request) response { return f.sendTo(ctx, f.api, r) }

func (f *fixture) sendTo(ctx context.Context, handler http.Handler, r request) response {
	hr := httptest.NewRequestWithContext(ctx, r.method, "/api/crm/lead"+f.namesToIDs(r.path), strings.NewReader(f.namesToIDs(r.body)))
	hr.Header.Set("Authorization", "Bearer "+f.key)
	for name, value := range r.header {
		hr.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, hr)
	return f.newResponse(recorder.Code, recorder.Header(), recorder.Body.String())
}

func (f *fixture) newResponse(status int, h http.Header, body string) response {
	body = strings.ReplaceAll(body, h.Get("Request-Id"), "REQUEST-ID")
	return response{
		status: status, etag: h.Get("ETag"), location: f.idsToNames(h.Get("Location")),
		replayed: h.Get("Idempotent-Replayed"), retryAfter: h.Get("Retry-After"), body: f.idsToNames(body),
	}
}

var (
	idPattern   = regexp.MustCompile(`lead_[0-9a-hjkmnp-tv-z]{26}`)
	namePattern = regexp.MustCompile(`lead_\d{1,3}\b`)
)

func (f *fixture) idsToNames(text string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return idPattern.ReplaceAllStringFunc(text, func(id string) string {
		if f.names[id] == "" {
			f.names[id] = fmt.Sprintf("lead_%d", len(f.names)+1)
		}
		return f.names[id]
	})
}

func (f *fixture) namesToIDs(text string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return namePattern.ReplaceAllStringFunc(text, func(name string) string {
		for id, n := range f.names {
			if n == name {
				return id
			}
		}
		return name
	})
}

// list returns all leads.
func (f *fixture) list(ctx context.Context) response {
	ctx, cancel := context.WithTimeout(ctx, f.listTimeout)
	defer cancel()
	return f.send(ctx, request{method: "GET", path: "?limit=100"})
}

// total returns the number of leads that a list reports.
func (f *fixture) total(ctx context.Context) int {
	return findNumber(totalPattern, f.send(ctx, request{method: "GET", path: "?limit=1"}).body)
}

// apiMargin is the time that the API reserves for sending its response.
const apiMargin = 300 * time.Millisecond

// run implements [action].
func (r request) run(ctx context.Context, f *fixture) response { return f.send(ctx, r) }

// isRetryable implements [action].
func (request) isRetryable(r response) bool { return isRetryLater(r) }

// margin implements [action].
func (request) margin() time.Duration { return apiMargin }

// isPartial implements [action]: a request takes effect as a whole or not at all.
func (request) isPartial(before string, got, success outcome) bool {
	return got.state == before || got.state == success.state
}

// isCompletion implements [action].
func (request) isCompletion(_, _, _ outcome) bool { return false }

// observe implements [action] with the list of all leads and each lead's version.
func (request) observe(ctx context.Context, f *fixture) string {
	all := f.list(ctx)
	text := fmt.Sprintf("%d %s", all.status, all.body)
	for _, name := range namePattern.FindAllString(all.body, -1) {
		if one := f.send(ctx, request{method: "GET", path: "/" + name}); one.status != 200 {
			text += fmt.Sprintf("\n%s %d", name, one.status)
		} else {
			text += "\n" + name + " " + one.etag
		}
	}
	return text
}
