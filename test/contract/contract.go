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
	"regexp"
	"slices"
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

	// MayLackKeys skips scripts that use a key that is not in Keys, and names them
	// on standard error. Without it they fail.
	MayLackKeys bool

	// Deviations are the scripts that do not run on this target, and why.
	Deviations map[string]string
}

// KnownDeviations lists, for each stand-in for AWS, the scripts that fail because
// it behaves differently from AWS. Everything that is not in this list must hold.
var KnownDeviations = map[string]map[string]string{
	"sam-local": {
		"not-utf-8":       "sam local itself answers a body that is not UTF-8, with 502",
		"leading-slashes": "sam local merges slashes at the beginning of a path",
	},
	"rest-api": {
		"compression": "a REST API sends base64 text as it is, unless it has binary media types",
	},
	"ministack": {
		"not-utf-8": "MiniStack replaces bytes of a body that are not UTF-8",
		"options":   "MiniStack itself answers OPTIONS, with 403",
	},
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

var (
	aloneLine = regexp.MustCompile(`(?m)^alone$`)
	keyLine   = regexp.MustCompile(`(?m)^key (\S+)$`)
)

func (s script) runsAlone() bool { return aloneLine.Match(s.Comment) }

// missingKeys lists the keys that s uses and the target does not have.
func (s script) missingKeys(target Target) (missing []string) {
	for _, m := range keyLine.FindAllSubmatch(s.Comment, -1) {
		name := string(m[1])
		if slices.Contains(KeyNames, name) && target.Keys[name] == "" && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Run runs every script against the target, each as a subtest. Scripts that
// count leads run first, one after another; then all others run in parallel.
// Run returns when they have ended. It reports scripts that do not run on this
// target on standard error.
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
	reason := target.Deviations[s.name]
	if missing := s.missingKeys(target); len(missing) > 0 {
		reason = "the target has no key named " + strings.Join(missing, ", ")
		if !target.MayLackKeys {
			t.Fatalf("NOT RUN: %s", reason)
		}
	}
	if reason != "" {
		fmt.Fprintf(os.Stderr, "contract: NOT RUN: %s: %s\n", s.name, reason)
		t.Skip(reason)
	}
	if !s.runsAlone() {
		t.Parallel()
	}
	(&runner{t: t, target: target, script: s, requestIDs: requestIDs}).run()
}
