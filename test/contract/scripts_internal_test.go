package contract

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestScriptsBeginWithTheirTopic(t *testing.T) {
	for _, s := range readScripts(t) {
		if !strings.HasPrefix(string(s.Comment), "# ") {
			t.Errorf("%s does not begin with a comment", s.name)
		}
	}
}

func TestEveryKeyIsUsed(t *testing.T) {
	var all strings.Builder
	for _, s := range readScripts(t) {
		all.Write(s.Comment)
	}
	for _, name := range KeyNames[1:] { // main is the default
		if !strings.Contains(all.String(), "\nkey "+name+"\n") {
			t.Errorf("no script uses the key %s", name)
		}
	}
}

func TestEveryFileOfAScriptIsUsed(t *testing.T) {
	for _, s := range readScripts(t) {
		for _, f := range s.Files {
			if !strings.Contains(string(s.Comment), " "+f.Name) {
				t.Errorf("%s: nothing uses %s", s.name, f.Name)
			}
		}
	}
}

func TestDeviationsNameScripts(t *testing.T) {
	for target, scripts := range KnownDeviations {
		for name := range scripts {
			if !slices.ContainsFunc(readScripts(t), func(s script) bool { return s.name == name }) {
				t.Errorf("%s: there is no script %s", target, name)
			}
		}
	}
}

// TestREADMEExplainsTheLanguage looks for each word that the runner compares a
// part of a script with.
func TestREADMEExplainsTheLanguage(t *testing.T) {
	readme, err := os.ReadFile("scripts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for _, file := range []string{"runner.go", "check.go", "keys.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\tcase "(\S+)":`).FindAllStringSubmatch(string(source), -1) {
			words++
			if !strings.Contains(string(readme), "`"+m[1]) {
				t.Errorf("scripts/README.md does not explain %s", m[1])
			}
		}
	}
	if words < 19 {
		t.Errorf("found %d words in the source, want at least 19: change this test", words)
	}
}
