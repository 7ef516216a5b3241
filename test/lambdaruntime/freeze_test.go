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

// wire is what stands before a database and sees what it is asked.
type wire struct {
	*httptest.Server
	mu       sync.Mutex
	attempts []string // the SDK's numbers of them
	opened   int      // connections
}

func tap(t *testing.T, endpoint string) *wire {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	w := &wire{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		number, _, _ := strings.Cut(r.Header.Get("Amz-Sdk-Request"), ";")
		w.mu.Lock()
		w.attempts = append(w.attempts, number)
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	w.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if s == http.StateNew {
			w.opened++
		}
	}
	w.Start()
	t.Cleanup(w.Close)
	return w
}

// TestFrozenFunctions stops a function between two events, as Lambda does.
func TestFrozenFunctions(t *testing.T) {
	endpoint := localdbtest.Start(t)
	key, id := populate(t, endpoint)
	wire := tap(t, endpoint)
	f := boot(t, program(t, "retrieve-lead"), wire.URL)
	event := request(t, key, "GET", "/api/crm/lead/"+string(id), "")
	// retrieve wants one of these attempts at a call of the database, and so many
	// connections since the start.
	retrieve := func(t *testing.T, opened int, attempts ...string) {
		t.Helper()
		wire.mu.Lock()
		wire.attempts = nil
		wire.mu.Unlock()
		out, err := f.Invoke(t.Context(), "1", event)
		if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
			t.Fatalf("answered %s, %v", out, err)
		}
		wire.mu.Lock()
		defer wire.mu.Unlock()
		if got := strings.Join(wire.attempts, " "); !slices.Contains(attempts, got) || wire.opened != opened {
			t.Errorf("the database was asked %q over %d connections, want one of %q over %d", got, wire.opened, attempts, opened)
		}
	}
	frozen := func(t *testing.T, meanwhile func()) {
		t.Helper()
		if err := syscall.Kill(f.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if err := syscall.Kill(f.PID(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	retrieve(t, 1, "attempt=1") // the key was read before the first event
	t.Run("go on with the connection they have", func(t *testing.T) {
		frozen(t, func() {})
		retrieve(t, 1, "attempt=1")
	})
	t.Run("open another at once where the database has closed it", func(t *testing.T) {
		for i := range 5 {
			frozen(t, wire.CloseClientConnections)
			// The second where the first had been written before it was noticed.
			retrieve(t, 2+i, "attempt=1", "attempt=2")
		}
	})
}
