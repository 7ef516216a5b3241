package api_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/test/dynamotest"
)

// origin is the origin of the URLs in requests to handlers in memory.
const origin = "http://leads.test"

// fixture is an API with its own table in a real database engine. Every answer is
// checked against openapi.yaml.
type fixture struct {
	client    *dynamodb.Client
	meter     *dynamotest.Meter
	table     *dynamo.Table
	keys      map[string]string // by their names in package contract
	log       *log
	config    api.Config
	transport http.RoundTripper
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	client, meter := dynamotest.Start(t)
	w := &fixture{client: client, meter: meter, table: dynamo.New(client, dynamotest.TableName), log: &log{}}
	var err error
	if w.keys, err = contract.CreateKeys(t.Context(), w.table); err != nil {
		t.Fatal(err)
	}
	w.config = api.Config{Leads: w.table, Keys: w.table, Log: slog.New(slog.NewJSONHandler(w.log, nil))}
	w.start(t)
	meter.Reset()
	return w
}

// start starts a new API, with empty caches.
func (w *fixture) start(t testing.TB) {
	handler := api.New(w.config).Handler(api.Routes()...)
	w.transport = describe(t).checkTransport(t, contract.Handler(handler))
}

// answer is an answer read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request with the key of this name, or none for "". Headers come
// as name and value in turns.
func (w *fixture) send(t testing.TB, key, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+w.keys[key])
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// create creates a lead and returns its path.
func (w *fixture) create(t testing.TB, body string) string {
	t.Helper()
	created := w.send(t, contract.Main, http.MethodPost, collection, body)
	if created.status != http.StatusCreated {
		t.Fatalf("create: %d %s", created.status, created.body)
	}
	return created.header.Get("Location")
}

const collection = "/api/crm/lead"

// log collects the lines of a log.
type log struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(line)
}

// take returns the lines that were written since the last call.
func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.bytes.Reset()
	return l.bytes.String()
}
