package contract

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rsc.io/script"
	"rsc.io/script/scripttest"
)

// patience is how long one request may take: longer than Lambda's cold start
// and API Gateway's own limit of 30 seconds.
const patience = 40 * time.Second

// A player plays one script.
type player struct {
	t          testing.TB
	target     Target
	name       string
	script     []byte
	files      map[string]string
	requestIDs *sync.Map // every request id that any script of this run has seen

	key        string      // the current key's name
	with       http.Header // for the next request
	without    []string    // for the next request
	answer     *answer     // the last one
	remembered map[string]*answer
	fatal      error // a failure that `!` before the command does not excuse

	mu   sync.Mutex // background requests end whenever they do
	made []madeLead
}

// A madeLead is a lead to delete when the script ends.
type madeLead struct{ id, key string }

func newPlayer(t testing.TB, target Target, s source, requestIDs *sync.Map) *player {
	files := make(map[string]string)
	for _, f := range s.archive.Files {
		files[f.Name] = string(f.Data)
	}
	return &player{
		t: t, target: target, name: s.name, script: s.archive.Comment, files: files, requestIDs: requestIDs,
		key: Main, with: make(http.Header), remembered: make(map[string]*answer),
	}
}

// play runs the script and deletes what it made.
func (s *player) play() {
	s.t.Helper()
	// Not nil: the state would then take over this process's environment, and
	// with it whatever keys stand in it.
	state, err := script.NewState(s.t.Context(), s.t.TempDir(), []string{})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := state.Setenv("unique", unique()); err != nil {
		s.t.Fatal(err)
	}
	engine := &script.Engine{Cmds: s.commands(), Conds: conditions(s.target.Untruths), Quiet: true}
	defer s.deleteLeads()
	scripttest.Run(s.t, engine, state, "scripts/"+s.name+".txt", bytes.NewReader(s.script))
	if s.fatal != nil && !s.t.Failed() {
		s.t.Errorf("FAIL: scripts/%s.txt: %v", s.name, s.fatal)
	}
}

// unique returns a text that no other run has.
func unique() string { return strings.ToLower(rand.Text()) }

// A request is what one line of a script sends.
type request struct {
	method  string
	path    string // begins with a slash; may have a query
	body    *string
	header  http.Header
	keyName string
}

// newRequest uses up what `with` and `without` have collected.
func (s *player) newRequest(method, path string, body *string) request {
	r := request{method, path, body, make(http.Header), s.key}
	if body != nil {
		r.header.Set("Content-Type", "application/json")
	}
	if s.key != noKey {
		r.header.Set("Authorization", "Bearer {key}")
	}
	for name, values := range s.with {
		r.header[name] = values
	}
	for _, name := range s.without {
		r.header.Del(name)
	}
	s.with, s.without = make(http.Header), nil
	return r
}

// noKey is the name of the key that is none.
const noKey = "none"

// keyValue returns the whole key of that name.
func (s *player) keyValue(name string) (string, error) {
	if slices.Contains(KeyNames, name) {
		if key := s.target.Keys[name]; key != "" {
			return key, nil
		}
		return "", fmt.Errorf("the target has no key named %s", name)
	}
	return spoil(s.target.Keys[Main], name)
}

// send sends r, reads the whole answer and judges what every answer must hold.
// It may run beside other calls.
func (s *player) send(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var body io.Reader
	if r.body != nil {
		body = strings.NewReader(*r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.target.URL+r.path, body)
	if err != nil {
		return nil, err
	}
	key := ""
	if r.keyName != noKey {
		if key, err = s.keyValue(r.keyName); err != nil {
			return nil, err
		}
	}
	for name, values := range r.header {
		for _, value := range values {
			req.Header.Add(name, strings.ReplaceAll(value, "{key}", key))
		}
	}
	if req.Header.Get("Transfer-Encoding") == "chunked" {
		req.Header.Del("Transfer-Encoding")
		req.ContentLength = -1
	}
	resp, err := s.target.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{r.method, resp.StatusCode, resp.Header, got}
	s.noteLead(a, r)
	return a, errors.Join(a.judge(), s.judgeRequestID(a), judgeSecrecy(a, key))
}

// judgeRequestID checks that no other answer had the same request id.
func (s *player) judgeRequestID(a *answer) error {
	id := a.header.Get(requestIDHeader)
	if id == "" {
		return nil
	}
	if _, seen := s.requestIDs.LoadOrStore(id, true); seen {
		return fmt.Errorf("the request id %s was given to another request before", id)
	}
	return nil
}

// judgeSecrecy checks that the key does not come back.
func judgeSecrecy(a *answer, key string) error {
	if key != "" && strings.Contains(string(a.body)+fmt.Sprint(a.header), key) {
		return errors.New("the answer holds the API key")
	}
	return nil
}

// noteLead remembers a lead that was made, to delete it in the end.
func (s *player) noteLead(a *answer, r request) {
	if a.status != http.StatusCreated {
		return
	}
	if id, err := lookup(a.body, ".id"); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.made = append(s.made, madeLead{text(id), r.keyName})
	}
}

// deleteLeads deletes what the script made and did not delete itself.
func (s *player) deleteLeads() {
	s.t.Helper()
	s.without, s.with = nil, make(http.Header)
	for _, lead := range s.made {
		s.key = lead.key
		a, err := s.send(context.WithoutCancel(s.t.Context()), s.newRequest(http.MethodDelete, "/api/crm/lead/"+lead.id, nil))
		if err != nil {
			s.t.Errorf("deleting %s, which the script made: %v", lead.id, err)
		} else if a.status != http.StatusOK && a.status != http.StatusNotFound {
			s.t.Errorf("deleting %s, which the script made: status %d", lead.id, a.status)
		}
	}
}

var (
	fileName = regexp.MustCompile(`^[a-z0-9-]+\.[a-z]+$`)
	variable = regexp.MustCompile(`\$(\w+|\{\w+\})`)
)

// content returns the file of that name with its variables replaced, or word
// itself where it does not look like the name of a file.
func (s *player) content(state *script.State, word string) (string, error) {
	if !fileName.MatchString(word) {
		return word, nil
	}
	data, ok := s.files[word]
	if !ok {
		return "", s.wrong(fmt.Errorf("there is no file %s in this script", word))
	}
	for _, name := range variable.FindAllString(data, -1) {
		if _, ok := state.LookupEnv(strings.Trim(name, "${}")); !ok {
			return "", s.wrong(fmt.Errorf("%s uses %s, which has no value", word, name))
		}
	}
	return os.Expand(data, func(name string) string {
		value, _ := state.LookupEnv(name)
		return value
	}), nil
}

// wrong notes a failure that no script can expect, such as a misspelt command,
// so that a `!` before the command does not turn it into a success.
func (s *player) wrong(err error) error {
	if s.fatal == nil {
		s.fatal = err
	}
	return err
}

// logExchange writes the request and its answer to the script's log, which is shown
// when the script fails. The key is shown by name only.
func logExchange(state *script.State, r request, a *answer) {
	state.Logf("%s %s (key: %s)\n", r.method, short(r.path), r.keyName)
	logHeader(state, r.header)
	if r.body != nil {
		state.Logf("\n%q\n", short(*r.body))
	}
	if a == nil {
		return
	}
	state.Logf("\n%d %s\n", a.status, http.StatusText(a.status))
	logHeader(state, a.header)
	state.Logf("\n%s\n", strings.TrimSuffix(short(a.body), "\n"))
}

func logHeader(state *script.State, header http.Header) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		state.Logf("%s: %s\n", name, short(strings.Join(header[name], ", ")))
	}
}
