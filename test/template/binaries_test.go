package template_test

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a function is made of is read at each cold start, at more than a
// millisecond a megabyte (docs/performance.md). So each package that one needs,
// itself or through another, stands here with the reason, but for those below
// one that stands here, and those that one of the standard library needs itself.
type reasons map[string]string

var (
	// door is what every function has.
	door = reasons{
		"github.com/aws/aws-lambda-go/lambda":         "Lambda's Runtime API",
		"github.com/aws/aws-lambda-go/lambdacontext":  "the id of a request",
		"github.com/go-json-experiment/json/internal": "jsontext needs it",
		"github.com/go-json-experiment/json/jsontext": "refuses what encoding/json lets pass: names twice, half a character",
		"encoding/json":         "aws-lambda-go and log/slog need it",
		"golang.org/x/sys/unix": "keeps to one processor",
		"log/slog":              "the log",
		"net/http":              "requests and answers, and every call of a service",
		"os/signal":             "aws-lambda-go ends in good order",
		"runtime/debug":         "where a panic was",
	}
	// client is what every client of a service has.
	client = reasons{
		"github.com/aws/aws-sdk-go-v2/aws":      "the SDK",
		"github.com/aws/aws-sdk-go-v2/internal": "the SDK",
		"github.com/aws/smithy-go":              "the SDK",
		"net/http/httputil":                     "the SDK can log requests",
		"regexp":                                "the SDK finds a region's partition",
	}
	table = reasons{
		"github.com/aws/aws-sdk-go-v2/service/dynamodb":                    "the database",
		"github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding":    "service/dynamodb needs it",
		"github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery": "service/dynamodb needs it",
	}
	filesAndQueues = reasons{
		"encoding/csv": "files of leads",
		"encoding/xml": "service/s3 needs it",
		"github.com/aws/aws-sdk-go-v2/service/internal/checksum":      "service/s3 needs it",
		"github.com/aws/aws-sdk-go-v2/service/internal/presigned-url": "service/s3 needs it",
		"github.com/aws/aws-sdk-go-v2/service/internal/s3shared":      "service/s3 needs it",
		"github.com/aws/aws-sdk-go-v2/service/s3":                     "files of leads",
		"github.com/aws/aws-sdk-go-v2/service/sqs":                    "rows of files on their way, and dead letters",
		"hash/crc64": "service/s3 needs it",
	}
	bus = reasons{
		"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue": "reads items of the stream",
		"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams":         "attributevalue has its types too",
		"github.com/aws/aws-sdk-go-v2/service/eventbridge":             "the bus",
	}
)

// made says what each function is made of.
var made = map[string][]reasons{
	"create-lead":     {door, client, table},
	"retrieve-lead":   {door, client, table},
	"list-leads":      {door, client, table},
	"update-lead":     {door, client, table},
	"delete-lead":     {door, client, table},
	unmatched:         {door},
	"ingest-leads":    {door, client, table, filesAndQueues},
	"publish-changes": {door, client, table, bus},
}

func TestFunctionsNeedOnlyWhatHasAReason(t *testing.T) {
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			var listed, standard []string
			for _, part := range made[name] {
				for pkg := range part {
					listed = append(listed, pkg)
					if !strings.Contains(pkg, ".") {
						standard = append(standard, pkg)
					}
				}
			}
			needed := dependencies(t, "./functions/"+name)
			free := dependencies(t, standard...)
			used := map[string]bool{}
			for _, pkg := range needed {
				at := slices.IndexFunc(listed, func(l string) bool { return pkg == l || strings.Contains(l, ".") && within(pkg, l) })
				if at >= 0 {
					used[listed[at]] = true
				}
				if at < 0 && !within(pkg, module) && !slices.Contains(free, pkg) {
					t.Errorf("needs %s: see with \"go mod why -m\" or \"go list -deps\" through which, and do without, or give the reason in this file", pkg)
				}
			}
			for _, pkg := range listed {
				if !used[pkg] {
					t.Errorf("needs %s no more: take it from the list", pkg)
				}
			}
		})
	}
}

// calls are the operations of the database whose code each function has, beside
// DescribeEndpoints, which the SDK never calls here. What another function needs
// is not in its program: package api keeps its endpoints apart for that.
var calls = map[string][]string{
	"create-lead":     {"GetItem", "TransactWriteItems"},
	"retrieve-lead":   {"GetItem"},
	"list-leads":      {"BatchGetItem", "GetItem", "PutItem", "Query"},
	"update-lead":     {"GetItem", "UpdateItem"},
	"delete-lead":     {"GetItem", "TransactWriteItems"},
	unmatched:         nil,
	"ingest-leads":    {"TransactWriteItems"},
	"publish-changes": nil,
}

// keepers are what must not be in a program, with the reason.
var keepers = reasons{
	"reflect.Value.Method":          allMethods,
	"reflect.Value.MethodByName":    allMethods,
	"reflect.(*rtype).Method":       allMethods,
	"reflect.(*rtype).MethodByName": allMethods,
	"text/template.init":            allMethods,
	"net/rpc.init":                  allMethods,
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/schemas.init": "service/dynamodb from v1.69 on makes tables of all operations of the database " +
		"at every start: measure (docs/performance.md) whether a newer version has changed that",
}

const allMethods = "for a call that finds a method by a name it learns at run time, the linker keeps each exported method of each type (https://pkg.go.dev/cmd/link)"

// TestFunctionsHoldNoDeadCode looks for calls of the database that belong to
// another function, and for what keeps code in a program that nothing calls.
func TestFunctionsHoldNoDeadCode(t *testing.T) {
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			held := symbols(t, "./functions/"+name)
			for keeper, reason := range keepers {
				if slices.Contains(held, keeper) {
					t.Errorf("the program has %s: %s; \"go build -ldflags=-dumpdep\" says who needs it", keeper, reason)
				}
			}
			var called []string
			for _, symbol := range held {
				call, ok := strings.CutPrefix(symbol, "github.com/aws/aws-sdk-go-v2/service/dynamodb.(*Client).")
				if ok && 'A' <= call[0] && call[0] <= 'Z' && call != "DescribeEndpoints" && !strings.Contains(call, ".") {
					called = append(called, call)
				}
			}
			slices.Sort(called)
			if !slices.Equal(called, calls[name]) {
				t.Errorf("the program has the code of %v, want that of %v: \"go build -ldflags=-dumpdep\" says who needs it", called, calls[name])
			}
		})
	}
}

// mostBytes is what a program for AWS's own processor may have: 9 MB. Each
// megabyte is more than a millisecond of a cold start (docs/performance.md).
const mostBytes = 9_000_000

func TestFunctionsAreSmall(t *testing.T) {
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir() // as sam build has it
			out := filepath.Join(root, "build", name)
			if err := errors.Join(os.MkdirAll(out, 0o700),
				os.WriteFile(filepath.Join(root, "build.toml"), []byte(`architecture = "arm64"`), 0o600)); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.CommandContext(t.Context(), "make", "build-"+name, "ARTIFACTS_DIR="+out).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			info, err := os.Stat(filepath.Join(out, "bootstrap"))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > mostBytes {
				t.Errorf("the program has %d bytes, more than %d: see with \"go tool nm -size -sort size\" what came in", info.Size(), mostBytes)
			}
		})
	}
}

// lambdaTags returns the build tags of the rule that builds functions.
func lambdaTags(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`GOARCH=\$\$arch go build -tags (\S+)`).FindSubmatch(makefile)
	if match == nil {
		t.Fatal("the rule build-% of the Makefile sets no build tags: change this test")
	}
	return string(match[1])
}

// dependencies returns what packages need on Lambda, themselves included.
func dependencies(t *testing.T, packages ...string) []string {
	t.Helper()
	return strings.Fields(output(t, append([]string{"list", "-deps", "-tags", lambdaTags(t)}, packages...)...))
}

// symbols returns the names of all that the linker left in a program.
func symbols(t *testing.T, pkg string) (names []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bootstrap")
	output(t, "build", "-tags", lambdaTags(t), "-o", program, pkg)
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	table, err := file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range table {
		names = append(names, symbol.Name)
	}
	if !slices.Contains(names, "main.main") {
		t.Fatal("the symbols lack main.main: change this test")
	}
	return names
}

// output runs the go command for Lambda.
func output(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out)
}
