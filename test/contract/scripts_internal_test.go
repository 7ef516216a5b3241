package contract

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quoted     = regexp.MustCompile(`'[^']*'`)
	definition = regexp.MustCompile(`^(?:let|add|capture) (\w+)`)
)

// An engine replaces a variable without a value by nothing, in silence.
func TestScriptsUseOnlyVariablesThatHaveAValue(t *testing.T) {
	for _, s := range load(t) {
		known := []string{"unique"}
		for line := range strings.Lines(string(s.archive.Comment)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			for _, use := range variable.FindAllString(quoted.ReplaceAllString(line, ""), -1) {
				if name := strings.Trim(use, "${}"); !slices.Contains(known, name) {
					t.Errorf("%s: %s has no value in: %s", s.name, use, line)
				}
			}
			if m := definition.FindStringSubmatch(line); m != nil {
				known = append(known, m[1])
			}
		}
	}
}

func TestScriptsBeginWithWhatTheyAreAbout(t *testing.T) {
	for _, s := range load(t) {
		if !strings.HasPrefix(string(s.archive.Comment), "# ") {
			t.Errorf("%s does not begin with a comment", s.name)
		}
	}
}

func TestEveryKeyHasAScript(t *testing.T) {
	var used []string
	for _, s := range load(t) {
		used = append(used, s.missingKeys(Target{})...)
	}
	for _, name := range KeyNames[1:] { // main is the key of all
		if !slices.Contains(used, name) {
			t.Errorf("no script uses the key %s", name)
		}
	}
}

func TestEveryFileOfAScriptIsUsed(t *testing.T) {
	for _, s := range load(t) {
		for _, f := range s.archive.Files {
			if !strings.Contains(string(s.archive.Comment), " "+f.Name) {
				t.Errorf("%s: nothing uses %s", s.name, f.Name)
			}
		}
	}
}

func TestPackageCommentExplainsEveryCommand(t *testing.T) {
	source, err := os.ReadFile("contract.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := strings.Cut(string(source), "\npackage contract")
	for name := range newPlayer(t, Target{}, load(t)[0], nil).commands() {
		if !regexp.MustCompile(`(?m)^//\t(\S.*)?\b` + name + `\b`).MatchString(doc) {
			t.Errorf("the package comment does not explain %s", name)
		}
	}
}
