package contract

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// requestTimeout is longer than Lambda's cold start and API Gateway's own limit
// of 30 seconds.
const requestTimeout = 40 * time.Second

// A runner runs one script.
type runner struct {
	t          testing.TB
	target     Target
	script     script
	requestIDs *sync.Map // every request id that any script of this run has seen

	key       string // the current key's name
	variables map[string]string
	pending   []*request  // read, and not sent yet
	responses []*response // to the last request, or to each of several
	created   []*response // whose leads are deleted when the script ends
}

// A request is what a script sends.
type request struct {
	method     string
	path       string // begins with a slash; may have a query
	body       *string
	header     http.Header
	key        string // the name of the key
	background bool
}

func (r *runner) newRequest(method, path string, body *string) *request {
	header := make(http.Header)
	if r.key != noKey {
		header.Set("Authorization", "Bearer {key}")
	}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	return &request{method: method, path: path, body: body, header: header, key: r.key}
}

// run runs the script up to its first failure, and deletes the leads that it
// created.
func (r *runner) run() {
	r.key = Main
	r.variables = map[string]string{"unique": strings.ToLower(rand.Text())}
	defer r.deleteLeads()
	for i, line := range strings.Split(string(r.script.Comment), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.runLine(line); err != nil {
			r.fail(fmt.Errorf("line %d: %s: %w", i+1, shorten(line), err))
			return
		}
	}
	if err := r.sendPending(); err != nil {
		r.fail(err)
	}
}

// fail reports an error with the last requests and responses, without API keys.
func (r *runner) fail(err error) {
	report := fmt.Sprintf("scripts/%s.txt: %v", r.script.name, err)
	for _, resp := range r.responses {
		report += fmt.Sprintf("\n\n%s %s (key: %s)\n%v\n%s", resp.request.method, shorten(resp.request.path), resp.request.key,
			resp.request.header, shorten(resp.comparable()))
	}
	for name, key := range r.target.Keys {
		report = strings.ReplaceAll(report, key, "{"+name+"}")
	}
	r.t.Errorf("%s", report)
}

var (
	requestLine    = regexp.MustCompile(`^(?:repeat ([0-9]+) )?([A-Z]+) (/\S*)(?: (.*?))?( &)?$`)
	headerLine     = regexp.MustCompile(`^([A-Za-z-]+):(?: (.*))?$`)
	variableLine   = regexp.MustCompile(`^(\w+) = (` + valueNames + `)$`)
	expressionLine = regexp.MustCompile(`^(\w+) = (.*)$`)
	checkLine      = regexp.MustCompile(`^(` + valueNames + `) (==|!=|>|~|!~) (.*)$`)
)

const valueNames = `status|body|response|(?:header|json|members|length) \S+`

func (r *runner) runLine(line string) error {
	if m := requestLine.FindStringSubmatch(line); m != nil {
		times, _ := strconv.Atoi(m[1])
		return r.readRequest(max(times, 1), m[2], m[3], m[4], m[5] != "")
	}
	if m := headerLine.FindStringSubmatch(line); m != nil && len(r.pending) > 0 {
		return r.readHeader(m[1], m[2])
	}
	if err := r.sendPending(); err != nil {
		return err
	}
	if m := variableLine.FindStringSubmatch(line); m != nil {
		return r.setVariable(m[1], m[2])
	}
	if m := expressionLine.FindStringSubmatch(line); m != nil {
		return r.setExpression(m[1], m[2])
	}
	if m := checkLine.FindStringSubmatch(line); m != nil {
		return r.check(m[1], m[2], m[3])
	}
	verb, argument, _ := strings.Cut(line, " ")
	switch verb {
	case "error":
		return r.forEachResponse(func(resp *response) error { return resp.checkError(argument) })
	case "key":
		_, err := r.keyText(argument)
		if err != nil && r.target.MayLackKeys {
			skip(r.t, r.script, err.Error())
		}
		r.key = argument
		return err
	case "curl":
		command, err := r.expand(argument, nil)
		if err != nil {
			return err
		}
		req, err := parseCurl(command, r.variables["id"], r.key)
		r.pending = append(r.pending, req)
		return err
	case "pause":
		time.Sleep(1100 * time.Millisecond)
		return nil
	case "alone":
		return nil // see Run
	}
	return errors.New("this is no statement of the script language")
}

// readRequest keeps a request until its headers are known.
func (r *runner) readRequest(times int, method, path, body string, background bool) error {
	if !background || len(r.pending) > 0 && !r.pending[0].background {
		if err := r.sendPending(); err != nil {
			return err
		}
	}
	path, err := r.expand(path, nil)
	if err != nil {
		return err
	}
	var content *string
	if body != "" {
		if body, err = r.expand(body, nil); err != nil {
			return err
		}
		content = &body
	}
	req := r.newRequest(method, path, content)
	req.background = background
	r.pending = append(r.pending, slices.Repeat([]*request{req}, times)...)
	return nil
}

func (r *runner) readHeader(name, value string) error {
	value, err := r.expand(value, nil)
	header := r.pending[len(r.pending)-1].header
	switch {
	case value == absent:
		header.Del(name)
	case name == "Authorization" || name == "Content-Type":
		header.Set(name, value) // in place of what newRequest has set
	default:
		header.Add(name, value)
	}
	return err
}

// sendPending sends the pending requests: one after another, or at the same time
// if they are in the background.
func (r *runner) sendPending() error {
	pending := r.pending
	if len(pending) == 0 {
		return nil
	}
	r.pending, r.responses = nil, make([]*response, len(pending))
	errs := make([]error, len(pending))
	var wg sync.WaitGroup
	for i, req := range pending {
		wg.Go(func() { r.responses[i], errs[i] = r.send(r.t.Context(), req) })
		if !req.background {
			wg.Wait()
		}
	}
	wg.Wait()
	for _, resp := range r.responses {
		if resp.status < 300 && (resp.request.method == http.MethodPost || resp.request.method == http.MethodPut) {
			r.created = append(r.created, resp)
		}
	}
	return errors.Join(errs...)
}

// send sends a request, reads the whole response and checks what every response
// must have.
func (r *runner) send(ctx context.Context, sent *request) (*response, error) {
	resp := &response{request: sent}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var body io.Reader
	if sent.body != nil {
		body = strings.NewReader(*sent.body)
	}
	req, err := http.NewRequestWithContext(ctx, sent.method, r.target.URL+sent.path, body)
	if err != nil {
		return resp, err
	}
	key, err := r.keyText(sent.key)
	if err != nil {
		return resp, err
	}
	for name, values := range sent.header {
		for _, value := range values {
			req.Header.Add(name, strings.ReplaceAll(value, "{key}", key))
		}
	}
	if req.Header.Get("Transfer-Encoding") == "chunked" {
		req.Header.Del("Transfer-Encoding")
		req.ContentLength = -1
	}
	got, err := r.target.Transport.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	defer got.Body.Close()
	resp.status, resp.header = got.StatusCode, got.Header
	if resp.body, err = ReadBody(got); err != nil {
		return resp, err
	}
	err = resp.checkRules()
	if id := resp.header.Get(requestIDHeader); id != "" {
		if _, seen := r.requestIDs.LoadOrStore(id, true); seen {
			err = errors.Join(err, fmt.Errorf("the request id %s was given to another request before", id))
		}
	}
	if key != "" && strings.Contains(string(resp.body)+fmt.Sprint(resp.header), key) {
		err = errors.Join(err, errors.New("the response contains the API key"))
	}
	return resp, err
}

// ReadBody reads the body of a response, and decompresses it if it is compressed.
func ReadBody(r *http.Response) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 || r.Header.Get("Content-Encoding") != "gzip" {
		return body, err
	}
	plain, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// keyText returns the whole key of that name.
func (r *runner) keyText(name string) (string, error) {
	switch key := r.target.Keys[name]; {
	case name == noKey || key != "":
		return key, nil
	case slices.Contains(KeyNames, name):
		return "", fmt.Errorf("the target has no key named %s", name)
	}
	return alterKey(r.target.Keys[Main], name)
}

// leadID matches the id of a lead in a response.
var leadID = regexp.MustCompile(`"id":\s*"(lead_\w+)"`)

// deleteLeads deletes the leads in the responses to all POST and PUT requests.
func (r *runner) deleteLeads() {
	for _, created := range r.created {
		r.key = created.request.key
		for _, id := range leadID.FindAllSubmatch(created.body, -1) {
			resp, err := r.send(context.WithoutCancel(r.t.Context()), r.newRequest(http.MethodDelete, "/api/crm/lead/"+string(id[1]), nil))
			if err != nil || resp.status != http.StatusOK && resp.status != http.StatusNotFound {
				r.t.Errorf("deleting %s, which the script created: status %d, error %v", id[1], resp.status, err)
			}
		}
	}
}
