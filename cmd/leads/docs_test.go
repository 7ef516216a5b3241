package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
)

// TestImportDocs runs the commands in docs/import.md one after the other with the
// files in examples/import, and checks one lead of each file.
func TestImportDocs(t *testing.T) {
	const examples = "../../examples/import"
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(examples, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if _, err := startServer(t, dir, testEnviron(), "-addr", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Dir, cmd.Env = dir, testEnviron()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("leads %s: %v\n%s", shellquote.Join(args...), err, out)
		}
		return string(out)
	}
	run("keys", "create", "-account", "acme", "-mode", "live")
	before := map[string]bool{}
	for _, command := range regexp.MustCompile(`(?m)^ {4,}leads ((?:import|export).*)$`).FindAllStringSubmatch(string(docs), -1) {
		args, err := shellquote.Split(command[1])
		if err != nil {
			t.Fatal(err)
		}
		out := run(args...)
		file := args[len(args)-1]
		fields, isExample := want[file]
		switch {
		case args[0] == "export":
			continue
		case args[1] == "undo":
			if !strings.Contains(out, "2 leads deleted.") {
				t.Errorf("%s: %s", command[1], out)
			}
			continue
		case strings.Contains(command[1], "-dry-run"):
			if !strings.Contains(out, "Dry run: 2 leads would be made, 0 were made before, 0 rows would be rejected.\n") {
				t.Errorf("%s: %s", command[1], out)
			}
			continue
		case !isExample:
			t.Errorf("examples/import/expect.json has no %s", file)
		case !strings.Contains(out, "2 leads made, 0 were made before, 0 rows rejected.\n"):
			t.Errorf("%s: %s", command[1], out)
		}
		run("export", "-account", "acme", "-mode", "live", "all.ndjson")
		all, err := os.ReadFile(filepath.Join(dir, "all.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(all)) {
			var l map[string]any
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			matches := !before[l["id"].(string)]
			before[l["id"].(string)] = true
			for name, value := range fields {
				matches = matches && reflect.DeepEqual(l[name], value)
			}
			found = found || matches
		}
		if !found {
			t.Errorf("no lead of %s has %v: %s", file, fields, all)
		}
		delete(want, file)
	}
	if len(want) > 0 {
		t.Errorf("docs/import.md has no command for %v", want)
	}
}
