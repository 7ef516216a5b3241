package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// dial returns a connection to a server, on which text was sent.
func dial(t *testing.T, server net.Addr, text string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// readStatus returns the status of the answer on a connection.
func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestBodiesWithoutKey sends more unfinished bodies than the API reads at once.
// Without a key, their clients are refused at once and occupy nothing.
func TestBodiesWithoutKey(t *testing.T) {
	w := newFixture(t)
	server := httptest.NewServer(api.New(w.config).Handler(api.Routes()...))
	t.Cleanup(server.Close) // after the connections
	head := "POST " + collection + " HTTP/1.1\r\nHost: leads.test\r\n%sContent-Length: 100\r\n\r\n{"
	var conns []net.Conn
	for range 1400 {
		conns = append(conns, dial(t, server.Listener.Addr(), fmt.Sprintf(head, "")))
	}
	start := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+collection, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.keys[contract.Main])
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("beside bodies without a key a create got %v, %v, want 201", resp, err)
	}
	for _, conn := range conns {
		if status := readStatus(t, conn); status != http.StatusUnauthorized {
			t.Fatalf("half a body without a key got %d, want 401", status)
		}
	}
	if d := time.Since(start); d > 4*time.Second { // a body may take five seconds
		t.Errorf("the answers took %v, so they waited for the bodies", d)
	}
}

// slowStore answers after some time, unless the context ends before.
type slowStore struct{ failingStore }

func (s slowStore) Retrieve(ctx context.Context, _ lead.Tenant, _ lead.ID) (lead.Lead, error) {
	select {
	case <-time.After(200 * time.Millisecond):
		return lead.Lead{}, lead.ErrNotFound
	case <-ctx.Done():
		return lead.Lead{}, ctx.Err()
	}
}

// TestHalfClosedConnection: a client may close its side of the connection after a
// whole request (RFC 9112, section 9.6).
func TestHalfClosedConnection(t *testing.T) {
	w := newFixture(t)
	w.config.Leads = slowStore{failingStore{func() error { return errors.New("not called") }}}
	server := httptest.NewServer(api.New(w.config).Handler(api.Routes()...))
	t.Cleanup(server.Close) // after the connections
	conn := dial(t, server.Listener.Addr(), "GET "+someLead+" HTTP/1.1\r\nHost: leads.test\r\nAuthorization: Bearer "+w.keys[contract.Main]+"\r\n\r\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := readStatus(t, conn); status != http.StatusNotFound {
		t.Errorf("status %d, want that of the store, 404", status)
	}
}

// TestErrorsOfTheServer sends requests that net/http answers by itself, on a new
// connection and after another request.
func TestErrorsOfTheServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.New(api.Config{}).Handler(api.Routes()...), MaxHeaderBytes: 4 << 10}
	go api.Serve(server, listener)
	t.Cleanup(func() { server.Close() })
	const first = "GET /unknown HTTP/1.1\r\nHost: leads.test\r\n\r\n"
	for fault, c := range map[string]struct {
		request, code string
		status        int
	}{
		"a path with a wrong escape": {"GET /%zz HTTP/1.1\r\nHost: leads.test\r\n\r\n", "parameter_invalid", 400},
		"no host":                    {"GET / HTTP/1.1\r\n\r\n", "parameter_invalid", 400},
		"no HTTP":                    {"hello\r\n\r\n", "parameter_invalid", 400},
		"another version":            {"GET / HTTP/3.0\r\nHost: leads.test\r\n\r\n", "parameter_invalid", 505},
		"another encoding":           {"POST / HTTP/1.1\r\nHost: leads.test\r\nTransfer-Encoding: zip\r\n\r\n", "parameter_invalid", 501},
		"an unknown expectation":     {"POST / HTTP/1.1\r\nHost: leads.test\r\nExpect: more\r\nContent-Length: 0\r\n\r\n", "parameter_invalid", 417},
		"long headers":               {"GET / HTTP/1.1\r\nHost: leads.test\r\nX: " + strings.Repeat("x", 14<<10) + "\r\n\r\n", "parameter_too_long", 431},
	} {
		for _, before := range []string{"", first} {
			t.Run(fault, func(t *testing.T) {
				conn := dial(t, listener.Addr(), before)
				answers := bufio.NewReader(conn)
				if before != "" {
					wantServerError(t, answers, 404, "route_unknown")
				}
				if _, err := io.WriteString(conn, c.request); err != nil {
					t.Fatal(err)
				}
				wantServerError(t, answers, c.status, c.code)
				if _, err := answers.ReadByte(); err != io.EOF {
					t.Errorf("after the answer: %v, want the end of the connection", err)
				}
			})
		}
	}
}

func wantServerError(t *testing.T, answers *bufio.Reader, status int, code string) {
	t.Helper()
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, answer{resp.StatusCode, resp.Header, string(body)}, status, code, "")
	id := resp.Header.Get("Request-Id")
	if tail := `"request_id":"` + id + `","errors":[]}}`; id == "" || !strings.HasSuffix(string(body), tail) ||
		resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v, body %s, want those of other errors", resp.Header, body)
	}
}
