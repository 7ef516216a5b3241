package lambdaruntime_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// root is the folder of the repository.
const root = "../.."

// maxSize is the largest program of a function in bytes. Lambda reads the program
// at each cold start, which takes about a millisecond a megabyte.
const maxSize = 9_700_000

func TestFunctionsAreSmall(t *testing.T) {
	for _, name := range functionNames(t) {
		info, err := os.Stat(filepath.Join(buildFunctions(t, "arm64"), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxSize {
			t.Errorf("%s has %d bytes, more than %d: see with \"go tool nm -size -sort size\" what is new", name, info.Size(), maxSize)
		}
	}
}

// functionNames returns the names of the folders in functions/.
func functionNames(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(root + "/functions/*/main.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for _, file := range files {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names
}

// built has the result of the build for each processor.
var built = map[string]func() (output []byte, err error){
	"amd64": sync.OnceValues(func() ([]byte, error) { return runBuild("amd64") }),
	"arm64": sync.OnceValues(func() ([]byte, error) { return runBuild("arm64") }),
}

func runBuild(processor string) ([]byte, error) {
	// "go test" repeats a result until a file changes that the test has read. It
	// does not see what "make" reads, but it sees this.
	for _, folder := range []string{"pkg", "functions"} {
		if err := filepath.WalkDir(filepath.Join(root, folder), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return nil, err
		}
	}
	// The folder is kept, because the go command links only programs that have changed.
	return exec.Command("make", "-C", root, "binaries", "GOARCH="+processor, "OUT=.aws-sam/test/"+processor).CombinedOutput()
}

// buildFunctions returns a folder with the programs of all functions. It builds
// them at most once in a run of the tests.
func buildFunctions(t *testing.T, processor string) string {
	t.Helper()
	if output, err := built[processor](); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return filepath.Join(root, ".aws-sam/test", processor)
}

// program returns the command that runs a function on this machine.
func program(t *testing.T, name string) []string {
	t.Helper()
	deployed := os.Getenv("LEADS_BUILD")
	if deployed == "" {
		return []string{filepath.Join(buildFunctions(t, runtime.GOARCH), name)}
	}
	path := filepath.Join(deployed, resourceName(name), "bootstrap")
	file, err := elf.Open(path)
	if err != nil {
		t.Fatalf("%v: run \"sam build\" first", err)
	}
	defer file.Close()
	if file.Machine == elf.EM_AARCH64 && runtime.GOARCH != "arm64" {
		return []string{"qemu-aarch64-static", path}
	}
	return []string{path}
}

// resourceName returns the name in template.yaml of a folder in functions/.
func resourceName(folder string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(folder, "-") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}
