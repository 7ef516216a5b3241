package template_test

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/docs"
)

const (
	unmatched     = "unmatched" // the function for requests that match no route
	documentation = "docs"      // the function for the pages of package docs
)

// An operation is a route and the folder of its function.
type operation struct{ Function, Method, Path string }

func (o operation) String() string { return fmt.Sprintf("%s: %s %s", o.Function, o.Method, o.Path) }

// TestRoutesAreTheSameEverywhere compares the routes of pkg/api, the folders of
// functions/, the events of template.yaml and the operations of openapi.yaml. It
// fails until a new route is in all four.
func TestRoutesAreTheSameEverywhere(t *testing.T) {
	var want []operation
	for _, r := range api.Routes() {
		want = append(want, operation{r.Name, r.Method, r.Path})
		if r.Method == http.MethodGet {
			want = append(want, operation{r.Name, http.MethodHead, r.Path})
		}
	}
	operations, deployed := templateOperations(t)
	others := []operation{{Function: unmatched}}
	for _, r := range docs.Routes() {
		others = append(others, operation{documentation, "ANY", r.Path})
	}
	compareLists(t, "template.yaml", operations, slices.Concat(want, others))
	compareLists(t, "openapi.yaml", openAPIOperations(t), want)
	compareLists(t, "functions/", functionFolders(t), deployed)

	for _, o := range want {
		if served := servedRoute(t, o.Function); served != o.Function {
			t.Errorf("functions/%s serves the route %q", o.Function, served)
		}
	}
	if served := servedRoute(t, unmatched); served != "" {
		t.Errorf("functions/%s serves the route %q, want none", unmatched, served)
	}
	if served := servedRoute(t, documentation); served != "docs.Routes()..." {
		t.Errorf("functions/%s serves %q, want the routes of package docs", documentation, served)
	}
}

// compareLists compares two lists in any order.
func compareLists[T comparable](t *testing.T, where string, got, want []T) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s lacks %v", where, w)
		}
	}
	for i, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s has %v, which it should not have", where, g)
		}
		if slices.Contains(got[:i], g) {
			t.Errorf("%s has %v twice", where, g)
		}
	}
}

// functionFolders returns the names of the folders in functions/.
func functionFolders(t *testing.T) (names []string) {
	t.Helper()
	mains, err := filepath.Glob(root + "functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for _, main := range mains {
		names = append(names, path.Base(path.Dir(filepath.ToSlash(main))))
	}
	return names
}

var handler = regexp.MustCompile(`\.Handler\((?:api\.(\w+)|(docs\.Routes\(\)\.\.\.))?\)`)

// servedRoute returns the name of the route that a function serves, or "". Of
// several routes it returns the expression.
func servedRoute(t *testing.T, function string) string {
	t.Helper()
	main, err := os.ReadFile(root + "functions/" + function + "/main.go")
	if err != nil {
		t.Error(err)
		return ""
	}
	match := handler.FindSubmatch(main)
	if match == nil {
		t.Errorf("functions/%s/main.go creates no handler", function)
		return ""
	}
	return kebab(string(match[1])) + string(match[2])
}

var capital = regexp.MustCompile(`[A-Z]`)

// kebab writes CreateLead and createLead as create-lead.
func kebab(camel string) string {
	return strings.TrimPrefix(strings.ToLower(capital.ReplaceAllString(camel, "-$0")), "-")
}

// templateOperations returns the operations of template.yaml, and all functions
// in it.
func templateOperations(t *testing.T) (operations []operation, functions []string) {
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
	readYAML(t, "template.yaml", &template)
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

// openAPIOperations returns the operations of openapi.yaml. HEAD belongs to the
// function of GET.
func openAPIOperations(t *testing.T) (operations []operation) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	readYAML(t, "pkg/api/openapi.yaml", &document)
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

// readYAML decodes a file of the repository.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
