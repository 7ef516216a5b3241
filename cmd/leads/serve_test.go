package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/contract"
)

func start(t *testing.T) *server {
	t.Helper()
	s, err := startServer(t, t.TempDir(), environ(), "-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestContract plays the contract's scripts against leads serve.
func TestContract(t *testing.T) {
	s := start(t)
	endpoint, ok, err := localdb.Running(filepath.Join(s.cmd.Dir, ".leads"))
	if !ok || err != nil {
		t.Fatalf("the engine is running: %v, %v", ok, err)
	}
	keys, err := contract.MintKeys(t.Context(), openLocal(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	contract.Run(t, contract.Target{URL: s.url, Keys: keys})
}

func TestServe(t *testing.T) {
	t.Run("a request under way is answered before the end", func(t *testing.T) {
		s := start(t)
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		const body = `{"lead_name":"Ada Lovelace"}`
		fmt.Fprintf(conn, "POST /api/crm/lead HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.key, len(body))
		answers := bufio.NewReader(conn)
		// The endpoint asks for the body: the request is under way.
		if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("got %q, %v, want 100 Continue", line, err)
		}
		answers.ReadString('\n')

		if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		// It listens no more: so it has had the signal.
		for connects(s.url) {
		}
		fmt.Fprint(conn, body)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusCreated {
			t.Errorf("the request is answered %s", res.Status)
		}
		if err := s.wait(); err != nil {
			t.Errorf("leads serve: %v: %s", err, s.stderr)
		}
		if err := s.engineGone(); err != nil {
			t.Error(err)
		}
	})

	t.Run("it ends when its engine does, and says so", func(t *testing.T) {
		s := start(t)
		if err := syscall.Kill(s.engine, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := s.wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("leads serve: %v, want exit status 1", err)
		}
		if want := "leads: the engine ended (signal: killed)"; !strings.Contains(s.stderr.String(), want) {
			t.Errorf("stderr has no %q: %s", want, s.stderr)
		}
	})

	t.Run("it can be ended while it fetches its engine", func(t *testing.T) {
		asked, gone := make(chan struct{}, 10), make(chan struct{})
		registry := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-gone
		}))
		defer registry.Close()
		defer close(gone)

		home := t.TempDir()
		cmd := exec.Command(os.Args[0], "serve", "-addr", "127.0.0.1:0")
		cmd.Dir = home
		cmd.Env = append(environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "npm_config_registry="+registry.URL)
		stderr := new(log)
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("leads serve: %v: %s", err, stderr)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != 1 {
			t.Errorf("it says more than that it fetches the engine: %s", stderr)
		}
	})
}

// TestOptionsOfAll: net/http has an answer of its own to OPTIONS *.
func TestOptionsOfAll(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(openLocal(""))
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: leads\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusNotFound || res.Header.Get("Request-Id") == "" {
		t.Errorf("it is answered %s with %v, want the 404 of the API", res.Status, res.Header)
	}
}

// connects reports whether anyone listens.
func connects(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestReachable(t *testing.T) {
	for listening, want := range map[string]string{
		"127.0.0.1:3000": "127.0.0.1:3000",
		"[::1]:3000":     "[::1]:3000",
		"0.0.0.0:3000":   "localhost:3000",
		"[::]:3000":      "localhost:3000",
	} {
		addr, err := net.ResolveTCPAddr("tcp", listening)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%s) = %s, want %s", listening, got, want)
		}
	}
}
