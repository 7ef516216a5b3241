// Package contract describes the behaviour of the lead API as a folder of
// scripts, and runs them.
//
// The scripts (scripts/*.txt) document, test and smoke-test the API in one
// place: each is a sequence of requests and what must come back. They know
// nothing of the code behind the address, so the same files run against the
// handlers in memory, `leads serve`, `sam local start-api` and a deployed stack.
// A [Target] says where. scripts/README.md explains the script language and what
// the runner checks of every response.
package contract

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"
)

//go:embed scripts/*.txt
var files embed.FS

// A Target is a running lead API.
type Target struct {
	// URL is the API's address, such as http://127.0.0.1:3000.
	URL string

	// Transport sends the requests. Nil means the network.
	Transport http.RoundTripper

	// Keys are whole API keys by name.
	Keys map[string]string

	// MayLackKeys ends scripts at the first key that is not in Keys, and names them
	// on standard error. Without it they fail.
	MayLackKeys bool

	// Deviations are the scripts that do not run on this target, and why.
	Deviations map[string]string
}

// Handler returns a transport that calls h directly, without a network.
func Handler(h http.Handler) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		in := req.Clone(req.Context())
		in.RequestURI, in.Host = req.URL.RequestURI(), req.URL.Host
		if in.Body == nil {
			in.Body = http.NoBody
		}
		out := httptest.NewRecorder()
		h.ServeHTTP(out, in)
		resp := out.Result()
		if req.Method == http.MethodHead {
			resp.Body = http.NoBody // as net/http's server does
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A script is one file of the folder scripts.
type script struct {
	name           string // the file's name without .txt
	*txtar.Archive        // its comment is the text of the script
}

func readScripts(t testing.TB) []script {
	names, err := fs.Glob(files, "scripts/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	scripts := make([]script, len(names))
	for i, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scripts[i] = script{strings.TrimSuffix(path.Base(name), ".txt"), txtar.Parse(data)}
	}
	return scripts
}

func (s script) runsAlone() bool { return strings.Contains(string(s.Comment), "\nalone\n") }

// Run runs every script against the target, each as a subtest. Scripts that
// count leads run first, one after another; then all others run in parallel.
// Run returns when they have ended.
func Run(t *testing.T, target Target) {
	target.URL = strings.TrimSuffix(target.URL, "/")
	if target.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableCompression = true // scripts compare bytes
		target.Transport = transport
	}
	scripts, requestIDs := readScripts(t), new(sync.Map)
	// t.Run returns when the parallel subtests have ended.
	t.Run("scripts", func(t *testing.T) {
		for _, alone := range []bool{true, false} {
			for _, s := range scripts {
				if s.runsAlone() == alone {
					t.Run(s.name, func(t *testing.T) { runScript(t, target, s, requestIDs) })
				}
			}
		}
	})
}

func runScript(t *testing.T, target Target, s script, requestIDs *sync.Map) {
	if reason := target.Deviations[s.name]; reason != "" {
		skip(t, s, reason)
	}
	if !s.runsAlone() {
		t.Parallel()
	}
	(&runner{t: t, target: target, script: s, requestIDs: requestIDs}).run()
}

// skip ends the test of a script, and says so also without -v.
func skip(t testing.TB, s script, reason string) {
	fmt.Fprintf(os.Stderr, "contract: NOT RUN: %s: %s\n", s.name, reason)
	t.Skip(reason)
}
