// Package dynamotest gives tests a table on a real engine, and counts what is
// asked of it.
package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/localdbtest"
)

// TableName is the name of the table that Start makes.
const TableName = "leads"

// Start starts an engine with an empty table, which ends with the test, and
// returns a client of it, set up as the product sets up its own, and a meter of
// all that the client asks from then on.
func Start(t testing.TB) (*dynamodb.Client, *Meter) {
	t.Helper()
	endpoint, meter := localdbtest.Start(t), &Meter{}
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, dynamo.Configure, func(o *dynamodb.Options) {
		client := o.HTTPClient.(*dynamo.HTTPClient)
		meter.next = client.Transport
		client.Transport = meter
	})
	if err := dynamo.New(client, TableName).CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	meter.Reset()
	return client, meter
}

// New returns a table on an engine of its own, and its meter.
func New(t testing.TB) (*dynamo.Table, *Meter) {
	t.Helper()
	client, meter := Start(t)
	return dynamo.New(client, TableName), meter
}

// Request is one call of the engine.
type Request struct {
	Operation   string  // such as GetItem
	Read, Write float64 // capacity units
}

// Meter counts the calls of an engine and the capacity that the engine says
// they consumed. Fault, where it is set, stands between.
type Meter struct {
	// Fault is called instead of the engine; send calls the engine. It may be
	// set while no call is under way.
	Fault func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error)

	next     http.RoundTripper
	mu       sync.Mutex
	requests []Request
}

// Reset forgets what was counted.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = nil
}

// Requests returns what was counted since the last Reset.
func (m *Meter) Requests() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Request(nil), m.requests...)
}

// Cost sums up what was counted since the last Reset.
func (m *Meter) Cost() (requests int, read, write float64) {
	for _, r := range m.Requests() {
		requests++
		read += r.Read
		write += r.Write
	}
	return requests, read, write
}

// RoundTrip implements [http.RoundTripper]. It asks the engine to say what the
// call consumed.
func (m *Meter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if m.Fault != nil {
		return m.Fault(operation, r, roundTripper(m.count))
	}
	return m.count(r)
}

// CloseIdleConnections closes the connections to the engine that no call uses.
func (m *Meter) CloseIdleConnections() {
	m.next.(*http.Transport).CloseIdleConnections()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (m *Meter) count(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	ask, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	metered := !strings.HasSuffix(operation, "Table")
	if metered {
		ask = append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), bytes.TrimSpace(ask)[1:]...)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(ask)), int64(len(ask))
	resp, err := m.next.RoundTrip(r)
	if err != nil || !metered {
		return resp, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	units := consumed(answer)
	counted := Request{Operation: operation}
	switch operation {
	case "GetItem", "BatchGetItem", "Query":
		counted.Read = units
	default:
		counted.Write = units
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, counted)
	return resp, nil
}

// consumed reads the capacity from an answer, which holds one or a list.
func consumed(answer []byte) (units float64) {
	type capacity struct{ CapacityUnits float64 }
	var one struct{ ConsumedCapacity capacity }
	if json.Unmarshal(answer, &one) == nil {
		return one.ConsumedCapacity.CapacityUnits
	}
	var many struct{ ConsumedCapacity []capacity }
	if err := json.Unmarshal(answer, &many); err != nil {
		panic(fmt.Sprintf("an answer that is not an engine's: %v", err))
	}
	for _, c := range many.ConsumedCapacity {
		units += c.CapacityUnits
	}
	return units
}
