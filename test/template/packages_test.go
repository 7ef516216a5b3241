// Package template has only tests. They check that the packages, template.yaml,
// openapi.yaml and the documentation agree.
package template_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/api"
)

const (
	root = "../../" // the folder of the repository

	module    = "overplane.dev/leads"
	awsModule = "github.com/aws/"
	lambdaGo  = "github.com/aws/aws-lambda-go"
)

// A goPackage is a package as "go list" describes it.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Deps                               []string // all that the package imports, directly or not
}

// folder is the package's folder in the repository.
func (p goPackage) folder() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	// "go test" repeats a result until a file changes that the test has read. It
	// does not see what "go list" reads, but it sees this.
	for _, folder := range []string{"pkg", "cmd", "functions", "test", "tools"} {
		if err := filepath.WalkDir(root+folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

// isWithin reports whether a package or folder is root or below it.
func isWithin(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}

func TestLayers(t *testing.T) {
	// What each package must not import, directly or through another package.
	forbidden := map[string][]string{
		"pkg/lead":   {awsModule, "net/http", module + "/pkg/api", module + "/pkg/dynamo"},
		"pkg/apikey": {awsModule, "net/http", module + "/pkg/api", module + "/pkg/dynamo"},
		"pkg/api":    {awsModule, module + "/pkg/dynamo", module + "/pkg/lambdahttp"},
		"pkg/dynamo": {lambdaGo, module + "/pkg/api", module + "/pkg/lambdahttp"},
		"pkg/client": {module, "github.com", "golang.org"}, // it uses only the standard library
		"cmd/leads":  {lambdaGo},
	}
	events := []string{module + "/pkg/ingest", module + "/pkg/publish"}
	forbidden["functions/"+unmatched] = append(events, module+"/pkg/dynamo")
	forbidden["functions/"+documentation] = forbidden["functions/"+unmatched]
	for _, route := range api.Routes() {
		forbidden["functions/"+route.Name] = events
	}
	for _, p := range listPackages(t) {
		for _, root := range forbidden[p.folder()] {
			for _, imported := range p.Deps {
				if isWithin(imported, root) {
					t.Errorf("%s imports %s, directly or not", p.folder(), imported)
				}
			}
		}
		delete(forbidden, p.folder())
	}
	for folder := range forbidden {
		t.Errorf("there is no package %s: change this test", folder)
	}
}

// TestOnlyLambdaPackagesImportAWSLambdaGo lists the packages that take events of
// Lambda. Tests and tools may do so too.
func TestOnlyLambdaPackagesImportAWSLambdaGo(t *testing.T) {
	want := map[string]bool{
		"pkg/lambdahttp":            true,
		"pkg/ingest":                true,
		"pkg/publish":               true,
		"functions/audit-leads":     true,
		"functions/ingest-leads":    true,
		"functions/publish-changes": true,
		"functions/check-release":   true,
	}
	for _, p := range listPackages(t) {
		imports := slices.ContainsFunc(slices.Concat(p.Imports, p.TestImports, p.XTestImports), func(imported string) bool {
			return isWithin(imported, lambdaGo)
		})
		if imports && !want[p.folder()] && !isWithin(p.folder(), "tools") && !isWithin(p.folder(), "test") {
			t.Errorf("%s imports aws-lambda-go", p.folder())
		}
		if imports {
			delete(want, p.folder())
		}
	}
	for folder := range want {
		t.Errorf("%s does not import aws-lambda-go: change this test", folder)
	}
}

// TestREADMEListsThePackages compares the first column of README's table of
// packages with the packages of the module. A folder such as tools/ stands for
// all packages in it.
func TestREADMEListsThePackages(t *testing.T) {
	readme, err := os.ReadFile(root + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{} // and whether there is such a package
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`[a-z]+/[a-z]*`(?:, )?)+) \\|").FindAllStringSubmatch(string(readme), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			listed[strings.Trim(name, "`")] = false
		}
	}
	for _, p := range listPackages(t) {
		found := false
		for name := range listed {
			if name == p.folder() || strings.HasSuffix(name, "/") && isWithin(p.folder(), name) {
				listed[name], found = true, true
			}
		}
		if !found {
			t.Errorf("README.md does not list the package %s", p.folder())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if _, err := os.Stat(root + name); !listed[name] && (!strings.HasSuffix(name, "/") || err != nil) {
			t.Errorf("README.md lists %s, which does not exist", name)
		}
	}
}

// TestArchitectureNamesThePackages compares the packages that
// docs/architecture.md names with those in pkg/.
func TestArchitectureNamesThePackages(t *testing.T) {
	text, err := os.ReadFile(root + "docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, folder := range regexp.MustCompile(`\bpkg/[a-z]+\b`).FindAllString(string(text), -1) {
		named[folder] = true
	}
	for _, p := range listPackages(t) {
		if isWithin(p.folder(), "pkg") && !named[p.folder()] {
			t.Errorf("docs/architecture.md does not name the package %s", p.folder())
		}
		delete(named, p.folder())
	}
	for folder := range named {
		t.Errorf("docs/architecture.md names %s, which does not exist", folder)
	}
}
