// Package dynamotest provides tests with a table in a local DynamoDB, and records
// the requests that it receives.
package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/localdbtest"
)

// TableName is the name of the table that Start creates.
const TableName = "leads"

// Start starts a local DynamoDB with an empty table, which stops when the test
// ends. It returns a client, configured as the product configures its own, and a
// meter that records all later requests of the client.
//
// The HTTPClient in the client's options is an [*http.Client] whose Transport is
// the meter. Configure changes the options further.
func Start(t testing.TB, configure ...func(*dynamodb.Options)) (*dynamodb.Client, *Meter) {
	t.Helper()
	endpoint := localdbtest.Start(t)
	meter := &Meter{next: &http.Transport{MaxIdleConnsPerHost: 256}, Now: time.Now}
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: meter, Timeout: 2 * time.Second},
	}, append([]func(*dynamodb.Options){dynamo.Configure}, configure...)...)
	if err := dynamo.New(client, TableName).CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	meter.Reset()
	return client, meter
}

// New returns a table in a local DynamoDB of its own, and its meter.
func New(t testing.TB) (*dynamo.Table, *Meter) {
	t.Helper()
	client, meter := Start(t)
	return dynamo.New(client, TableName), meter
}

// Request is a request that DynamoDB answered.
type Request struct {
	Operation   string  // such as GetItem
	Read, Write float64 // capacity units
}

// Meter is an [http.RoundTripper] that records requests and the capacity units
// that DynamoDB reports for them. It refuses requests that DynamoDB would refuse
// although the local database accepts them. If Fault is set, it can replace a
// request or its response.
type Meter struct {
	// CutPages makes pages of queries small, and returns some keys of batches as
	// not processed, at random. DynamoDB may do both. It changes the number of
	// requests.
	CutPages bool

	// Fault is called instead of DynamoDB; next sends a request to DynamoDB.
	// Change it only while no request is in progress.
	Fault func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error)

	// Now is the clock of DynamoDB, which dates its answers and refuses late
	// signatures. If it is nil, the engine does the former and nothing the latter.
	// Change it only while no request is in progress.
	Now func() time.Time

	next     *http.Transport
	mu       sync.Mutex
	requests []Request
}

// Reset forgets all recorded requests.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = nil
}

// Requests returns the requests since the last Reset.
func (m *Meter) Requests() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

// Cost returns the number and the capacity units of the requests since the last
// Reset.
func (m *Meter) Cost() (requests int, read, write float64) {
	for _, r := range m.Requests() {
		requests++
		read += r.Read
		write += r.Write
	}
	return requests, read, write
}

// RoundTrip implements [http.RoundTripper].
func (m *Meter) RoundTrip(r *http.Request) (*http.Response, error) {
	var next http.RoundTripper = roundTripper(m.record)
	if m.Now != nil {
		next = &localdb.SignatureChecker{Next: next, Now: m.Now}
	}
	if m.Fault != nil {
		return m.Fault(operationOf(r), r, next)
	}
	return next.RoundTrip(r)
}

// CloseIdleConnections closes the connections to DynamoDB that are not in use.
func (m *Meter) CloseIdleConnections() { m.next.CloseIdleConnections() }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func operationOf(r *http.Request) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}

// record sends a request, with the option to report the consumed capacity, and
// records it.
func (m *Meter) record(r *http.Request) (*http.Response, error) {
	operation := operationOf(r)
	if strings.HasSuffix(operation, "Table") { // these consume no capacity
		return m.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := validate(operation, body); err != nil {
		return refuse(r, err), nil
	}
	if m.CutPages {
		return cutPages(m.next, r, operation, body)
	}
	body = append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), bytes.TrimSpace(body)[1:]...)
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := m.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))

	request := Request{Operation: operation}
	switch units := consumedUnits(answer); operation {
	case "GetItem", "BatchGetItem", "Query":
		request.Read = units
	default:
		request.Write = units
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, request)
	return resp, nil
}

// consumedUnits returns the capacity units in a response, which contains one
// object or a list.
func consumedUnits(response []byte) (units float64) {
	type capacity struct{ CapacityUnits float64 }
	var one struct{ ConsumedCapacity capacity }
	if json.Unmarshal(response, &one) == nil {
		return one.ConsumedCapacity.CapacityUnits
	}
	var many struct{ ConsumedCapacity []capacity }
	if err := json.Unmarshal(response, &many); err != nil {
		panic(fmt.Sprintf("not a response of DynamoDB: %v", err))
	}
	for _, c := range many.ConsumedCapacity {
		units += c.CapacityUnits
	}
	return units
}
