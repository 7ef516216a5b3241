package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/test/contract"
)

// description is openapi.yaml, which answers are checked against.
type description struct {
	root     any
	mu       sync.Mutex // guards the two below
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

// loadDescription reads openapi.yaml once for all tests.
var loadDescription = sync.OnceValues(func() (*description, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	// Every time in an answer is in UTC and whole seconds.
	compiler.RegisterFormat(&jsonschema.Format{Name: "date-time", Validate: func(value any) error {
		text := fmt.Sprint(value)
		if len(text) != len("2006-01-02T15:04:05Z") {
			return errors.New("not in whole seconds")
		}
		_, err := time.Parse("2006-01-02T15:04:05Z", text)
		return err
	}})
	compiler.AssertFormat()
	return &description{root: root, compiler: compiler, schemas: map[string]*jsonschema.Schema{}}, compiler.AddResource("openapi.json", root)
})

func describe(t testing.TB) *description {
	t.Helper()
	d, err := loadDescription()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// part is a place in the description.
type part struct {
	pointer string // as a URL's fragment has it (RFC 6901, section 6)
	value   any
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// at returns the part with these names below from. It follows references.
func (d *description) at(from part, names ...string) (part, bool) {
	for _, name := range names {
		members, _ := from.value.(map[string]any)
		value, ok := members[name]
		if !ok {
			return part{}, false
		}
		from = part{from.pointer + "/" + pointerEscapes.Replace(name), value}
		if members, _ := value.(map[string]any); members["$ref"] != nil {
			path := strings.Split(strings.TrimPrefix(members["$ref"].(string), "#/"), "/")
			if from, ok = d.at(part{"", d.root}, path...); !ok {
				return part{}, false
			}
		}
	}
	return from, true
}

// validate checks a value against a schema.
func (d *description) validate(schema part, value any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schemas[schema.pointer] == nil {
		compiled, err := d.compiler.Compile("openapi.json#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(schema.pointer))
		if err != nil {
			return err
		}
		d.schemas[schema.pointer] = compiled
	}
	return d.schemas[schema.pointer].Validate(value)
}

// path returns the described path of a request.
func (d *description) path(r *http.Request) (found part, ok bool) {
	paths, _ := d.at(part{"", d.root}, "paths")
	for template := range paths.value.(map[string]any) {
		if !matchesTemplate(template, r.URL.EscapedPath()) {
			continue
		}
		// Two templates match the path of a batch.
		path, _ := d.at(paths, template)
		if _, ok := d.at(path, strings.ToLower(r.Method)); ok {
			return path, true
		}
		found, ok = path, true
	}
	return found, ok
}

// matchesTemplate reports whether a path matches a template, in which {name}
// stands for any segment that is not empty.
func matchesTemplate(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "{") && got != ""
	})
}

// response returns the description of an answer with this status.
func (d *description) response(r *http.Request, status int) (part, error) {
	components := part{"", d.root}
	path, ok := d.path(r)
	if !ok {
		if status != http.StatusNotFound {
			return part{}, fmt.Errorf("no such path is described, but the status is %d", status)
		}
		found, _ := d.at(components, "components", "responses", "NotFound")
		return found, nil
	}
	if found, ok := d.at(path, strings.ToLower(r.Method), "responses", strconv.Itoa(status)); ok {
		return found, nil
	}
	if _, ok := d.at(path, strings.ToLower(r.Method)); !ok && status == http.StatusMethodNotAllowed {
		found, _ := d.at(components, "components", "responses", "MethodNotAllowed")
		return found, nil
	}
	return part{}, fmt.Errorf("the status %d is not described", status)
}

// standardHeaders are described by HTTP itself, not by the document.
var standardHeaders = []string{"Content-Type", "Content-Length", "Content-Encoding", "Vary", "Date"}

// check compares an answer with the description: its status, every header and the
// body.
func (d *description) check(r *http.Request, status int, header http.Header, body []byte) error {
	if r.Method == http.MethodOptions && status == http.StatusNoContent {
		return nil // not an operation of the document
	}
	response, err := d.response(r, status)
	if err != nil {
		return err
	}
	errs := []error{d.checkHeaders(response, header)}
	content, described := d.at(response, "content")
	switch {
	case r.Method == http.MethodHead || !described:
		if len(body) > 0 {
			errs = append(errs, errors.New("there is a body, but none is described"))
		}
	default:
		schema, ok := d.at(content, header.Get("Content-Type"), "schema")
		if !ok {
			return fmt.Errorf("a body of type %q is not described", header.Get("Content-Type"))
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		errs = append(errs, d.validate(schema, value))
	}
	return errors.Join(errs...)
}

func (d *description) checkHeaders(response part, header http.Header) error {
	var errs []error
	headers, _ := d.at(response, "headers")
	names, _ := headers.value.(map[string]any)
	known := slices.Clone(standardHeaders)
	for name := range names {
		described, _ := d.at(headers, name)
		known = append(known, http.CanonicalHeaderKey(name))
		switch values := header.Values(name); {
		case len(values) == 0:
			if described.value.(map[string]any)["required"] == true {
				errs = append(errs, fmt.Errorf("the header %s is missing", name))
			}
		case len(values) > 1:
			errs = append(errs, fmt.Errorf("the header %s is there %d times", name, len(values)))
		default:
			schema, _ := d.at(described, "schema")
			var value any = values[0]
			if schema.value.(map[string]any)["type"] == "integer" {
				value = json.Number(values[0])
			}
			if err := d.validate(schema, value); err != nil {
				errs = append(errs, fmt.Errorf("the header %s: %w", name, err))
			}
		}
	}
	for name := range header {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("the header %s is not described", name))
		}
	}
	return errors.Join(errs...)
}

// checkTransport returns a transport that uses another one and checks every answer.
func (d *description) checkTransport(t testing.TB, transport http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		plain, err := contract.ReadBody(resp)
		if err != nil {
			return nil, err
		}
		if err := d.check(r, resp.StatusCode, resp.Header, plain); err != nil {
			t.Errorf("%s %.200s: openapi.yaml: %v\n%d %v\n%.1000s", r.Method, r.URL, err, resp.StatusCode, resp.Header, plain)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestCheckFindsDeviations tests each rule of check with an answer that breaks it.
func TestCheckFindsDeviations(t *testing.T) {
	w := newFixture(t)
	path := w.create(t, "{}")
	for outcome, change := range map[string]func(r *http.Request, a *answer){
		"an unknown status":     func(_ *http.Request, a *answer) { a.status = http.StatusTeapot },
		"a wrong status":        func(_ *http.Request, a *answer) { a.status = http.StatusCreated },
		"another path":          func(r *http.Request, _ *answer) { r.URL.Path = "/api/crm/contact" },
		"another method":        func(r *http.Request, _ *answer) { r.Method = http.MethodPut },
		"a missing header":      func(_ *http.Request, a *answer) { a.header.Del("ETag") },
		"a header twice":        func(_ *http.Request, a *answer) { a.header.Add("ETag", `"2"`) },
		"a wrong header":        func(_ *http.Request, a *answer) { a.header.Set("ETag", "2") },
		"an undescribed header": func(_ *http.Request, a *answer) { a.header.Set("Server", "leads") },
		"another type":          func(_ *http.Request, a *answer) { a.header.Set("Content-Type", "text/plain") },
		"not JSON":              func(_ *http.Request, a *answer) { a.body = "{" },
		"no body":               func(_ *http.Request, a *answer) { a.body = "" },
		"a body of HEAD":        func(r *http.Request, _ *answer) { r.Method = http.MethodHead },
		"a missing member":      func(_ *http.Request, a *answer) { a.body = strings.Replace(a.body, `"city":null,`, "", 1) },
		"an extra member":       func(_ *http.Request, a *answer) { a.body = `{"deleted":false,` + a.body[1:] },
		"a value of a wrong type": func(_ *http.Request, a *answer) {
			a.body = strings.Replace(a.body, `"disabled":false`, `"disabled":0`, 1)
		},
		"a time in another form": func(_ *http.Request, a *answer) {
			a.body = strings.Replace(a.body, `Z","updated`, `+00:00","updated`, 1)
		},
		"a number in quotes": func(_ *http.Request, a *answer) {
			a.body = strings.Replace(a.body, `"annual_revenue":null`, `"annual_revenue":"1"`, 1)
		},
	} {
		t.Run(outcome, func(t *testing.T) {
			a := w.send(t, contract.Main, http.MethodGet, path, "")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := describe(t).check(r, a.status, a.header, []byte(a.body)); err != nil {
				t.Fatal(err)
			}
			change(r, &a)
			if describe(t).check(r, a.status, a.header, []byte(a.body)) == nil {
				t.Error("check accepts it")
			}
		})
	}
}

// TestContractIsAsDescribed runs the contract scripts in memory and checks every
// answer against openapi.yaml.
func TestContractIsAsDescribed(t *testing.T) {
	w := newFixture(t)
	contract.Run(t, contract.Target{URL: origin, Transport: w.transport, Keys: w.keys})
}
