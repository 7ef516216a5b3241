// Package contract holds the behaviour of the lead API as a folder of scripts,
// and the runner that plays them.
//
// The scripts (scripts/*.txt) are the documentation of the contract: each one
// reads from top to bottom as requests and what must come back. They know
// nothing of the code behind the address, so the same files run against the
// handlers in memory, a server on this machine, `sam local start-api`, or a
// deployed stack. A [Target] says where.
//
// # How a script reads
//
//	# A new lead has every default.
//	request POST /api/crm/lead {"lead_name":"Ada"}
//	status 201
//	header Location ^/api/crm/lead/lead_[0-9a-hjkmnp-tv-z]{26}$
//	json .status "Lead"
//	capture id .id
//
//	request GET /api/crm/lead/$id
//	status 200
//	json .lead_name "Ada"
//
// One command a line; # begins a comment; words are separated by spaces, and
// single quotes keep a word with spaces, # or $ together (two are one quote
// inside them). $name stands for a captured value. Files follow the script in
// the txtar format; $name is replaced in them too. The language is that of
// rsc.io/script, without its shell commands.
//
// Saying what to send:
//
//	key NAME                      use this key from here on: main at the start, none, one of the
//	                              target's (see [Main] and its siblings), or a spoilt copy of main:
//	                              wrong-secret, unknown, wrong-mode, bad-checksum, truncated
//	with HEADER VALUE             add a header to the next request; {key} in it is the current key
//	without HEADER                leave a header out of the next request
//	request METHOD PATH [BODY]    send it; BODY is text or the name of a file. A request with a body
//	                              has the type application/json unless `with` says otherwise.
//	                              Transfer-Encoding chunked sends a body of unknown length
//	repeat N METHOD PATH [BODY]   send it N times; every answer must have the same status
//	curl FILE [ID]                send what a curl command in FILE would send, with the target's
//	                              address, the current key, and ID instead of the example's id
//	request … &, wait             send several at once; wait for all of them
//	pause                         wait until a time in whole seconds is another
//
// Saying what must come back (always about the last answer):
//
//	status N [N]...               the status is one of these
//	header NAME [REGEXP]          the header is there (and matches); ! header NAME: it is not
//	json PATH VALUE               the value at PATH equals this JSON, or the JSON in the file of that
//	                              name; numbers are compared by value, strings byte for byte
//	match PATH REGEXP             the string, or the text of the number, at PATH matches
//	members PATH NAME...          the object has exactly these members in this order; a NAME may be a
//	                              file that lists them
//	length PATH N                 the array has N elements
//	error STATUS CODE [PARAM [CODE PARAM]...]
//	                              the error shape with this code; the violations are exactly these
//	                              pairs; no PARAM: none is at fault; ?: the contract names none;
//	                              a|b: either code
//	empty                         there is no body
//	same NAME                     the answer is that of `remember NAME` but for its request id and date
//
// Keeping values:
//
//	capture NAME PATH             keep a string, or the JSON of any other value
//	capture NAME header HEADER    keep a header's value
//	remember NAME                 keep the whole answer for `same`
//	let NAME "TEXT"[*N]...        keep Go-quoted texts, each repeated N times, joined
//	add NAME A B                  keep the sum of two whole numbers
//	equal A B, ! equal A B        two values are (not) the same text
//	before A B                    A sorts before B
//	alone                         this script counts the account's leads: no other runs beside it
//	[NAME] stop                   end the script where the target has this untruth; [!NAME] before a
//	                              line leaves out that line (see [Untruths])
//
// A path is `.error.errors[0].code`; `.` is the whole answer. $unique is a text
// that no other run has.
//
// # What every answer must hold
//
// The runner itself checks each answer that any script causes: one Request-Id
// of its own, Cache-Control: no-store, X-Content-Type-Options: nosniff, a body
// of strict JSON with the type application/json or none at all, the complete
// error shape of the table of errors from status 400 on, and no API key
// anywhere in it.
//
// Leads that a script makes are deleted when it ends.
package contract

import (
	"embed"
	"fmt"
	"io"
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

// The names of the keys that a target gives to the scripts. All but the first
// may be missing; then the scripts that use them are named as not run.
const (
	Main         = "main"          // both scopes; every other key is described beside it
	OtherMode    = "other-mode"    // main's account, the other mode
	OtherAccount = "other-account" // another account, main's mode
	ReadOnly     = "read-only"     // main's account and mode, scope read
	WriteOnly    = "write-only"    // main's account and mode, scope write
	Revoked      = "revoked"       // main's account and mode, revoked at least 30 seconds ago
	Expired      = "expired"       // main's account and mode, past its expiry
)

// KeyNames lists every key that the scripts use.
var KeyNames = []string{Main, OtherMode, OtherAccount, ReadOnly, WriteOnly, Revoked, Expired}

// KeyVariable returns the environment variable that gives the key of this name to
// TestScripts: LEADS_KEY for main, else such as LEADS_KEY_READ_ONLY.
func KeyVariable(name string) string {
	if name == Main {
		return "LEADS_KEY"
	}
	return "LEADS_KEY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// A Target is a running lead API.
type Target struct {
	// URL is the API's address without a slash at its end, such as
	// http://127.0.0.1:3000.
	URL string

	// Transport sends the requests. Nil means the network.
	Transport http.RoundTripper

	// Keys are whole API keys by name.
	Keys map[string]string

	// Untruths are what the target is known to do otherwise than the contract
	// says: the fault of a stand-in for AWS, never of the product.
	Untruths []Untruth
}

// Handler returns a transport that hands each request to h, without a network.
func Handler(h http.Handler) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		var body io.Reader = http.NoBody
		if req.Body != nil {
			body = req.Body
		}
		in := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.RequestURI(), body)
		in.Header = req.Header.Clone()
		in.Host = req.URL.Host
		in.ContentLength = req.ContentLength
		out := httptest.NewRecorder()
		h.ServeHTTP(out, in)
		resp := out.Result()
		if req.Method == http.MethodHead {
			resp.Body = http.NoBody // net/http's server drops it too
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Run plays every script against the target, each as a subtest. Scripts that
// count leads run first, one after another; the others then run side by side.
// What does not run, and what is left out because of the target's untruths, is
// written to standard error with its reason.
func Run(t *testing.T, target Target) {
	t.Helper()
	run(t, target, load(t))
}

// A source is one script with the files that belong to it.
type source struct {
	name    string // the file's name without .txt
	archive *txtar.Archive
}

func load(t testing.TB) []source {
	t.Helper()
	names, err := fs.Glob(files, "scripts/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	sources := make([]source, len(names))
	for i, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = source{strings.TrimSuffix(path.Base(name), ".txt"), txtar.Parse(data)}
	}
	return sources
}

var (
	aloneLine = regexp.MustCompile(`(?m)^alone\b`)
	keyLine   = regexp.MustCompile(`(?m)^key (\S+)`)
)

// alone reports whether no other script may run beside s.
func (s source) alone() bool { return aloneLine.Match(s.archive.Comment) }

// missingKeys lists the keys that s uses and the target does not have.
func (s source) missingKeys(target Target) []string {
	var missing []string
	for _, m := range keyLine.FindAllSubmatch(s.archive.Comment, -1) {
		name := string(m[1])
		if slices.Contains(KeyNames, name) && target.Keys[name] == "" && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func run(t *testing.T, target Target, sources []source) {
	t.Helper()
	target.URL = strings.TrimSuffix(target.URL, "/")
	if target.Transport == nil {
		target.Transport = plainTransport()
	}
	for _, u := range target.Untruths {
		fmt.Fprintf(os.Stderr, "contract: left out on this target: %s: %s\n", u.Name, u.Reason)
	}
	requestIDs := new(sync.Map)
	// The group returns when its parallel subtests have ended, so that a caller
	// may close the target after Run.
	t.Run("scripts", func(t *testing.T) {
		for _, alone := range []bool{true, false} {
			for _, s := range sources {
				if s.alone() == alone {
					t.Run(s.name, func(t *testing.T) { runScript(t, target, s, requestIDs) })
				}
			}
		}
	})
}

func runScript(t *testing.T, target Target, s source, requestIDs *sync.Map) {
	if missing := s.missingKeys(target); len(missing) > 0 {
		reason := "the target has no key named " + strings.Join(missing, ", ")
		fmt.Fprintf(os.Stderr, "contract: NOT RUN: %s: %s\n", s.name, reason)
		t.Skip(reason)
	}
	if !s.alone() {
		t.Parallel()
	}
	newPlayer(t, target, s, requestIDs).play()
}

// plainTransport is net/http's own without the compression that it would ask
// for unasked: scripts compare bytes.
func plainTransport() http.RoundTripper {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DisableCompression = true
	return tr
}
