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
	s, err := startServer(t, t.TempDir(), testEnviron(), "-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestContract runs the contract scripts against leads serve.
func TestContract(t *testing.T) {
	s := start(t)
	endpoint, ok, err := localdb.Running(filepath.Join(s.cmd.Dir, ".leads"))
	if !ok || err != nil {
		t.Fatalf("the engine is running: %v, %v", ok, err)
	}
	keys, err := contract.CreateKeys(t.Context(), openLocal(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	contract.Run(t, contract.Target{URL: s.url, Keys: keys})
}

func TestServe(t *testing.T) {
	t.Run("a request in flight is answered before the server ends", func(t *testing.T) {
		s := start(t)
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		const body = `{"lead_name":"Ada Lovelace"}`
		fmt.Fprintf(conn, "POST /api/crm/lead HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.key, len(body))
		responses := bufio.NewReader(conn)
		// The handler reads the body now: the request is in flight.
		if line, err := responses.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("got %q, %v, want 100 Continue", line, err)
		}
		responses.ReadString('\n')

		if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		// When the server stops listening, it has received the signal.
		for canConnect(s.url) {
		}
		fmt.Fprint(conn, body)
		res, err := http.ReadResponse(responses, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusCreated {
			t.Errorf("the status is %s", res.Status)
		}
		if err := s.wait(); err != nil {
			t.Errorf("leads serve: %v: %s", err, s.stderr)
		}
		if err := s.checkEngineEnded(); err != nil {
			t.Error(err)
		}
	})

	t.Run("it reports that its engine ended, and ends too", func(t *testing.T) {
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

	t.Run("it can be stopped while it fetches its engine", func(t *testing.T) {
		requested, release := make(chan struct{}, 10), make(chan struct{})
		registry := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			requested <- struct{}{}
			<-release
		}))
		defer registry.Close()
		defer close(release)

		home := t.TempDir()
		cmd := exec.Command(os.Args[0], "serve", "-addr", "127.0.0.1:0")
		cmd.Dir = home
		cmd.Env = append(testEnviron(), "HOME="+home, "XDG_CACHE_HOME="+home, "npm_config_registry="+registry.URL)
		stderr := new(safeBuffer)
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-requested
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("leads serve: %v: %s", err, stderr)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != 1 {
			t.Errorf("stderr has %d lines, want only the one about the download: %s", lines, stderr)
		}
	})
}

// TestOptionsAsterisk checks that the API answers OPTIONS *, not net/http.
func TestOptionsAsterisk(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(newHandler(openLocal(""), ""))
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
		t.Errorf("the response is %s with %v, want the 404 of the API", res.Status, res.Header)
	}
}

// canConnect reports whether a server listens at the address.
func canConnect(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestClientAddress(t *testing.T) {
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
		if got := clientAddress(addr); got != want {
			t.Errorf("clientAddress(%s) = %s, want %s", listening, got, want)
		}
	}
}
