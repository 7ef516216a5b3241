// Package python fetches the command-line tools of this repository that are
// written in Python, each with pip into a folder of its own in the user's
// cache. Versions are pinned here and nowhere else.
package python

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// A Tool is a set of packages that are installed together.
type Tool struct {
	name     string
	packages []string
}

var (
	// SAM has the commands sam and cfn-lint. Later versions of cfn-lint
	// download their schemas when they run; this one carries them.
	SAM = Tool{"sam-1.166.0", []string{"aws-sam-cli==1.166.0", "cfn-lint==1.51.5"}}
	// Ministack has the command ministack, an emulator of AWS.
	Ministack = Tool{"ministack-1.5.33", []string{"ministack[full]==1.5.33"}}
	// Checkov has the command checkov, a scanner for insecure settings.
	Checkov = Tool{"checkov-3.3.30", []string{"checkov==3.3.30"}}
	// Schemathesis has the command of its name, which plays requests made from
	// an OpenAPI description.
	Schemathesis = Tool{"schemathesis-4.32.5", []string{"schemathesis==4.32.5"}}
)

// Installed reports whether this machine has t.
func (t Tool) Installed() bool {
	dir, err := t.place()
	return err == nil && isInstalled(dir)
}

// place returns the folder of t, which need not exist.
func (t Tool) place() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no place for %s, set HOME or XDG_CACHE_HOME: %w", t.name, err)
	}
	return filepath.Join(cache, "leads", t.name), nil
}

// mark is the file that is there when an installation was finished.
const mark = "installed"

func isInstalled(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, mark))
	return err == nil
}

// Dir returns the folder that t is installed in: a virtual environment, whose
// commands are in bin. It installs t first where this machine has not got it,
// and says so to log, because that takes a minute.
func (t Tool) Dir(ctx context.Context, log io.Writer) (string, error) {
	dir, err := t.place()
	if err != nil || isInstalled(dir) {
		return dir, err
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("install Python 3 with its module venv: %s is fetched with it", t.name)
	}
	fmt.Fprintf(log, "Fetching %s, once.\n", t.name)
	// In place, for a virtual environment cannot be moved. What an interrupted
	// installation left is overwritten.
	if err := run(ctx, python, "-m", "venv", "--clear", dir); err != nil {
		return "", err
	}
	pip := append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, t.packages...)
	if err := run(ctx, filepath.Join(dir, "bin", "python"), pip...); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, mark), nil, 0o644)
}

func run(ctx context.Context, name string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s failed (%w), see that the package registry can be reached:\n%s", cmd, err, output.Bytes())
	}
	return nil
}
