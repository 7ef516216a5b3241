// Package template has no code of its own: what stands here holds the rooms of the
// house, and what describes it, to each other.
package template_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/api"
)

const (
	module = "overplane.dev/leads"
	aws    = "github.com/aws/"
	lambda = "github.com/aws/aws-lambda-go"
)

// room is a package as `go list` describes it.
type room struct {
	ImportPath, Name                   string
	Imports, TestImports, XTestImports []string
	Deps                               []string // all that the package itself needs
}

func rooms(t *testing.T) []room {
	t.Helper()
	// go test repeats a result until something that the test read has changed.
	// It does not see what go list reads, but it sees this.
	for _, folder := range []string{"pkg", "cmd", "functions"} {
		if err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,TestImports,XTestImports,Deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []room
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var r room
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// within reports whether a package is this one or below it.
func within(imported, root string) bool {
	return imported == root || strings.HasPrefix(imported, strings.TrimSuffix(root, "/")+"/")
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	// What a room must not need, itself or through another.
	closed := map[string][]string{
		"pkg/lead":   {aws, "net/http", module + "/pkg/api", module + "/pkg/dynamo"},
		"pkg/apikey": {aws, "net/http", module + "/pkg/api", module + "/pkg/dynamo"},
		"pkg/api":    {aws, module + "/pkg/dynamo", module + "/pkg/lambdahttp"},
		"pkg/dynamo": {lambda, module + "/pkg/api", module + "/pkg/lambdahttp"},
	}
	all := rooms(t)
	for _, r := range all {
		for _, forbidden := range closed[r.name()] {
			for _, needed := range r.Deps {
				if within(needed, forbidden) {
					t.Errorf("%s needs %s", r.name(), needed)
				}
			}
		}
		delete(closed, r.name())
	}
	for name := range closed {
		t.Errorf("there is no room %s any more: change this test", name)
	}
}

// TestLambdaStaysAtTheDoors: requests come in by pkg/lambdahttp alone, events by
// the functions that take them and the rooms that only those need, beside the
// tools that try them out and the proofs, which have no product code.
func TestLambdaStaysAtTheDoors(t *testing.T) {
	all := rooms(t)
	for _, r := range all {
		knows := slices.ContainsFunc(slices.Concat(r.Imports, r.TestImports, r.XTestImports), func(imported string) bool {
			return within(imported, lambda)
		})
		if !knows || r.name() == "pkg/lambdahttp" || r.takesEvents() || within(r.name(), "tools") || r.name() == "test/faults" {
			continue
		}
		used := false
		for _, command := range all {
			if command.Name != "main" || !slices.Contains(command.Deps, r.ImportPath) {
				continue
			}
			used = true
			if !command.takesEvents() && !within(command.name(), "tools") {
				t.Errorf("%s imports aws-lambda-go, and %s, which takes no events, needs it", r.name(), command.name())
			}
		}
		if !used {
			t.Errorf("%s imports aws-lambda-go, and is no room of a function that takes events", r.name())
		}
	}
}

// name is the room's path in the house.
func (r room) name() string { return strings.TrimPrefix(r.ImportPath, module+"/") }

// takesEvents reports whether the room is a function that serves no request.
func (r room) takesEvents() bool {
	function, ok := strings.CutPrefix(r.name(), "functions/")
	return ok && function != unmatched && !slices.ContainsFunc(api.Routes(), func(route api.Route) bool { return route.Name == function })
}

// unmatched is the function that answers whatever no route takes.
const unmatched = "unmatched"

// operation is a route as one of the four places has it. The function is that
// of functions/.
type operation struct{ Function, Method, Path string }

func (o operation) String() string { return fmt.Sprintf("%s: %s %s", o.Function, o.Method, o.Path) }

// TestRoutesAreKnownEverywhere holds the routes of pkg/api, the folders of
// functions/, the events of template.yaml and the operations of openapi.yaml to
// each other. A new route fails until it is in all four.
func TestRoutesAreKnownEverywhere(t *testing.T) {
	var want []operation
	for _, r := range api.Routes() {
		want = append(want, operation{r.Name, r.Method, r.Path})
		if r.Method == http.MethodGet {
			want = append(want, operation{r.Name, http.MethodHead, r.Path})
		}
	}
	inTemplate, deployed := templated(t)
	same(t, "template.yaml", inTemplate, append(want, operation{Function: unmatched}))
	same(t, "openapi.yaml", described(t), want)
	same(t, "functions/ beside template.yaml", folders(t), deployed)

	for _, o := range want {
		if served := serves(t, o.Function); served != o.Function {
			t.Errorf("functions/%s serves the route %q", o.Function, served)
		}
	}
	if served := serves(t, unmatched); served != "" {
		t.Errorf("functions/%s serves the route %q, want none", unmatched, served)
	}
}

// same compares two lists, whatever their order.
func same[T comparable](t *testing.T, where string, got, want []T) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s lacks %v", where, w)
		}
	}
	for i, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s has %v, which nothing else knows", where, g)
		}
		if slices.Contains(got[:i], g) {
			t.Errorf("%s has %v twice", where, g)
		}
	}
}

// folders returns the names of the commands in functions/.
func folders(t *testing.T) (names []string) {
	t.Helper()
	mains, err := filepath.Glob("functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for _, main := range mains {
		names = append(names, path.Base(path.Dir(filepath.ToSlash(main))))
	}
	return names
}

var handler = regexp.MustCompile(`\.Handler\((?:api\.(\w+))?\)`)

// serves returns the name of the route that a function serves, or "".
func serves(t *testing.T, function string) string {
	t.Helper()
	main, err := os.ReadFile("functions/" + function + "/main.go")
	if err != nil {
		t.Error(err)
		return ""
	}
	match := handler.FindSubmatch(main)
	if match == nil {
		t.Errorf("functions/%s/main.go makes no handler", function)
		return ""
	}
	return kebab(string(match[1]))
}

var capital = regexp.MustCompile(`[A-Z]`)

// kebab writes CreateLead and createLead as create-lead.
func kebab(camel string) string {
	return strings.TrimPrefix(strings.ToLower(capital.ReplaceAllString(camel, "-$0")), "-")
}

// templated returns what template.yaml sends to which function, and every
// function in it.
func templated(t *testing.T) (operations []operation, functions []string) {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Events map[string]struct {
					Type       string `yaml:"Type"`
					Properties struct {
						Method string `yaml:"Method"`
						Path   string `yaml:"Path"`
					} `yaml:"Properties"`
				} `yaml:"Events"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	read(t, "template.yaml", &template)
	for name, resource := range template.Resources {
		if resource.Type != "AWS::Serverless::Function" {
			continue
		}
		function := kebab(name)
		functions = append(functions, function)
		for _, event := range resource.Properties.Events {
			if event.Type == "HttpApi" {
				operations = append(operations, operation{function, event.Properties.Method, event.Properties.Path})
			}
		}
	}
	return operations, functions
}

// described returns the operations of openapi.yaml. Those of HEAD belong to the
// function of GET.
func described(t *testing.T) (operations []operation) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	read(t, "pkg/api/openapi.yaml", &document)
	for path, methods := range document.Paths {
		for method, node := range methods {
			var op struct {
				OperationID string `yaml:"operationId"`
			}
			owner := node
			if get, ok := methods["get"]; ok && method == "head" {
				owner = get
			}
			if method == "parameters" {
				continue
			}
			if err := owner.Decode(&op); err != nil {
				t.Fatal(err)
			}
			operations = append(operations, operation{kebab(op.OperationID), strings.ToUpper(method), path})
		}
	}
	return operations
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
