package lambdaruntime_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"overplane.dev/leads/test/localdbtest"
)

// A proxy forwards requests to a database and records them.
type proxy struct {
	*httptest.Server
	mu          sync.Mutex
	attempts    []string // the SDK's number of each attempt, such as attempt=1
	connections int      // opened since the start
}

func startProxy(t *testing.T, endpoint string) *proxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	p := &proxy{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number, _, _ := strings.Cut(r.Header.Get("Amz-Sdk-Request"), ";")
		p.mu.Lock()
		p.attempts = append(p.attempts, number)
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	p.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s == http.StateNew {
			p.connections++
		}
	}
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// TestFrozenFunctions freezes a function between two events, as Lambda does.
func TestFrozenFunctions(t *testing.T) {
	endpoint := localdbtest.Start(t)
	key, id := createTable(t, endpoint)
	proxy := startProxy(t, endpoint)
	f := start(t, program(t, "retrieve-lead"), proxy.URL)
	event := request(t, key, "GET", "/api/crm/lead/"+string(id), "")
	// retrieve retrieves the lead and wants one of these lists of attempts. It
	// returns how many connections the function opened.
	retrieve := func(t *testing.T, attempts ...string) (opened int) {
		t.Helper()
		proxy.mu.Lock()
		before := proxy.connections
		proxy.attempts = nil
		proxy.mu.Unlock()
		out, err := f.Invoke(t.Context(), "1", event)
		if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
			t.Fatalf("response %s, error %v", out, err)
		}
		proxy.mu.Lock()
		defer proxy.mu.Unlock()
		if got := strings.Join(proxy.attempts, " "); !slices.Contains(attempts, got) {
			t.Errorf("the database received %q, want one of %q", got, attempts)
		}
		return proxy.connections - before
	}
	freeze := func(t *testing.T, meanwhile func()) {
		t.Helper()
		if err := syscall.Kill(f.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if err := syscall.Kill(f.PID(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	proxy.mu.Lock()
	if len(proxy.attempts) != 1 || proxy.connections != 1 {
		t.Errorf("before the first event the database received %q over %d connections, want one request", proxy.attempts, proxy.connections)
	}
	proxy.mu.Unlock()
	retrieve(t, "attempt=1 attempt=1") // the API key and the lead; later the key is cached
	t.Run("keep their connection", func(t *testing.T) {
		// Not always: if a response comes before net/http has noticed that it has
		// sent the whole request, the SDK closes the request's body too early, and
		// net/http does not reuse the connection.
		const freezes = 20
		opened := 0
		for range freezes {
			freeze(t, func() {})
			opened += retrieve(t, "attempt=1")
		}
		if opened > freezes/2 {
			t.Errorf("after %d freezes the function opened %d connections", freezes, opened)
		}
	})
	t.Run("open a new connection at once if the database has closed theirs", func(t *testing.T) {
		for range 5 {
			freeze(t, proxy.CloseClientConnections)
			// The second list if the SDK wrote the request before it noticed.
			if opened := retrieve(t, "attempt=1", "attempt=2"); opened != 1 {
				t.Errorf("the function opened %d connections, want 1", opened)
			}
		}
	})
}
