package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestProgramInTheDocument runs the program in docs/clients.md.
func TestProgramInTheDocument(t *testing.T) {
	document, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(document)
	if program == nil {
		t.Fatal("docs/clients.md has no program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, program[1], 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "document")
	cmd := exec.CommandContext(t.Context(), "go", "run", file)
	cmd.Env, cmd.Stderr = append(os.Environ(), "LEADS_URL="+c.URL, "LEADS_KEY="+c.Key), t.Output()
	output, err := cmd.Output()
	if err != nil || string(output) != "Ada Open 1250000.5\n" {
		t.Errorf("the program printed %q, %v", output, err)
	}
}
