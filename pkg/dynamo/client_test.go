package dynamo_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/fakeaws"
)

// startTLS starts a local DynamoDB with a table behind TLS and sets the
// environment variables that Open reads. It returns the server and the number of
// connections so far.
func startTLS(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	client, _ := dynamotest.Start(t)
	target, err := url.Parse(*client.Options().BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// DynamoDB takes milliseconds as well. A response that arrives within
		// microseconds can end the client's write early (smithy-go 1.28.9), and
		// then net/http does not reuse the connection.
		time.Sleep(5 * time.Millisecond)
		proxy.ServeHTTP(w, r)
	}))
	connections := &atomic.Int32{}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_CA_BUNDLE": fakeaws.Bundle(t, s), "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "LEADS_TABLE": dynamotest.TableName, "DYNAMODB_ENDPOINT": "",
	} {
		t.Setenv(name, value)
	}
	return s, connections
}

func TestWarmUpOpensConnection(t *testing.T) {
	_, connections := startTLS(t)
	table := dynamo.Open()
	if n := connections.Load(); n != 0 {
		t.Errorf("Open opened %d connections, want 0", n)
	}
	table.WarmUp(t.Context())
	if n := connections.Load(); n != 1 {
		t.Errorf("WarmUp opened %d connections, want 1", n)
	}
	for range 3 {
		if _, err := table.FindKey(t.Context(), "none"); !errors.Is(err, apikey.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections after three reads, want 1", n)
	}
}

// TestWarmUpIsShort checks that a function starts although DynamoDB does not
// answer. Lambda allows ten seconds.
func TestWarmUpIsShort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("DYNAMODB_ENDPOINT", "http://"+listener.Addr().String())
	start := time.Now()
	dynamo.Open().WarmUp(t.Context())
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("WarmUp took %v", d)
	}
}

// TestClosedConnectionIsReplaced closes the connections after each call, as
// DynamoDB does while a function is frozen.
// TestFirstListNeedsOneConnection: the second list of a process reads the counters
// and the index at the same time, but the first one does not.
func TestFirstListNeedsOneConnection(t *testing.T) {
	table, meter := dynamotest.New(t)
	var mu sync.Mutex
	var now, most int
	add := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
	}
	meter.Fault = func(_ string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		add(1)
		defer add(-1)
		time.Sleep(20 * time.Millisecond)
		return next.RoundTrip(r)
	}
	for list, want := range []int{1, 2, 2} {
		most = 0
		if _, err := table.List(t.Context(), acme, lead.ListQuery{Limit: 10}); err != nil {
			t.Fatal(err)
		}
		if most != want {
			t.Errorf("list %d sent %d requests at the same time, want %d", list, most, want)
		}
	}
}

func TestClosedConnectionIsReplaced(t *testing.T) {
	server, _ := startTLS(t)
	table := dynamo.Open()
	for range 3 {
		if _, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
		server.CloseClientConnections()
	}
	if _, total, err := table.ListAt(t.Context(), acme, 20, 0); err != nil || total != 3 {
		t.Errorf("%d leads, error %v, want 3 leads", total, err)
	}
}

// TestOnlyDeadlineStopsRetries fails more attempts than the SDK makes by default.
func TestOnlyDeadlineStopsRetries(t *testing.T) {
	server, _ := startTLS(t)
	next, requests := server.Config.Handler, 0
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests <= 6 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err := dynamo.Open().FindKey(t.Context(), "none"); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("after %d requests: %v, want ErrNotFound", requests, err)
	}
}

func TestIncompleteResponseIsRetried(t *testing.T) {
	for name, incomplete := range map[string]io.Reader{
		"connection error": io.MultiReader(strings.NewReader(`{"Item":{`), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"invalid JSON":     strings.NewReader(`{"Item":{`),
	} {
		t.Run(name, func(t *testing.T) {
			table, meter := dynamotest.New(t)
			created, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
			if err != nil {
				t.Fatal(err)
			}
			requests := 0
			meter.Fault = func(_ string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if requests++; requests == 1 && err == nil {
					resp.Body.Close()
					resp.Body = io.NopCloser(incomplete)
				}
				return resp, err
			}
			if l, err := table.Retrieve(t.Context(), acme, created.ID); err != nil || l.ID != created.ID {
				t.Errorf("Retrieve = %v, %v, want the lead", l, err)
			}
			if requests != 2 {
				t.Errorf("%d requests, want 2", requests)
			}
		})
	}
}

// unreachable is an HTTPClient without a connection.
type unreachable struct{}

func (unreachable) Do(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

// TestEveryCallEnds calls an unreachable database without a deadline, as the
// commands of leads do.
func TestEveryCallEnds(t *testing.T) {
	changes, err := lead.ParseChanges([]byte(`{"status":"Open"}`))
	if err != nil {
		t.Fatal(err)
	}
	var ids lead.IDGenerator
	id := ids.Next(time.Now())
	for name, call := range map[string]func(context.Context, *dynamo.Table) error{
		"CreateTable": func(ctx context.Context, table *dynamo.Table) error { return table.CreateTable(ctx) },
		"CreateKey":   func(ctx context.Context, table *dynamo.Table) error { return table.CreateKey(ctx, apikey.Key{}) },
		"FindKey": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.FindKey(ctx, "0123456789ab")
			return err
		},
		"ListKeys": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.ListKeys(ctx, "acme")
			return err
		},
		"RevokeKey": func(ctx context.Context, table *dynamo.Table) error {
			return table.RevokeKey(ctx, "0123456789ab", time.Now())
		},
		"Tenants": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.Tenants(ctx)
			return err
		},
		"Audit": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.Audit(ctx, dynamo.Audit{Tenant: loading, Found: func(dynamo.Difference) {}, Progress: func(int64, int64) {}})
			return err
		},
		"Reindex": func(ctx context.Context, table *dynamo.Table) error {
			return table.Reindex(ctx, dynamo.Reindex{Tenant: loading, Progress: func(int64, int64, lead.ID) {}})
		},
		"All": func(ctx context.Context, table *dynamo.Table) error {
			for _, err := range table.All(ctx, loading) {
				return err
			}
			return nil
		},
		"List": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.List(ctx, loading, lead.ListQuery{Limit: 1})
			return err
		},
		"Create": func(ctx context.Context, table *dynamo.Table) error {
			_, _, err := table.Create(ctx, loading, lead.Defaults(), lead.IdempotencyKey{})
			return err
		},
		"Update": func(ctx context.Context, table *dynamo.Table) error {
			_, err := table.Update(ctx, loading, id, changes, lead.Precondition{})
			return err
		},
		"Delete": func(ctx context.Context, table *dynamo.Table) error {
			return table.Delete(ctx, loading, id, lead.Precondition{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := dynamodb.New(dynamodb.Options{
					Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), HTTPClient: unreachable{},
				}, dynamo.Configure)
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // so that this test ends
				defer cancel()
				if err := call(ctx, dynamo.New(client, dynamotest.TableName)); err == nil {
					t.Error("no error")
				}
				if took := time.Since(start); took > 21*time.Second { // two calls one after another
					t.Errorf("the call took %v", took)
				}
			})
		})
	}
}
