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
func dial(t *testing.T, server *httptest.Server, text string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
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
		conns = append(conns, dial(t, server, fmt.Sprintf(head, "")))
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
	conn := dial(t, server, "GET "+someLead+" HTTP/1.1\r\nHost: leads.test\r\nAuthorization: Bearer "+w.keys[contract.Main]+"\r\n\r\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := readStatus(t, conn); status != http.StatusNotFound {
		t.Errorf("status %d, want that of the store, 404", status)
	}
}
