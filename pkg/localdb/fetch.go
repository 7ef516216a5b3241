package localdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// version is the version of dynoxide that this package runs.
const version = "1.2.1"

// packages lists the npm package of the engine for each GOOS/GOARCH.
var packages = map[string]npmPackage{
	"linux/amd64": {
		name:   "@dynoxide/linux-x64",
		sha256: "be909b7910d3fb552e85db10ef3c8ebae4bd35fee0f26dffdb6dfa5cc656426e",
	},
	// The hashes of these programs are not known. npm compares each download
	// with the hash that its registry gives.
	"linux/arm64":  {name: "@dynoxide/linux-arm64"},
	"darwin/amd64": {name: "@dynoxide/darwin-x64"},
	"darwin/arm64": {name: "@dynoxide/darwin-arm64"},
}

type npmPackage struct {
	name   string
	sha256 string // of the program, in hexadecimal; empty if unknown
}

// findProgram returns the path of the engine's program in the user's cache. It
// downloads the program if it is not there. Several processes may do so at the
// same time: each works in its own directory and renames the program at the end.
func findProgram(ctx context.Context, log io.Writer) (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := packages[platform]
	if !ok {
		return "", fmt.Errorf("there is no engine for %s: set DYNAMODB_ENDPOINT to the address of another engine, such as DynamoDB Local", platform)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no directory for the engine, set HOME or XDG_CACHE_HOME: %w", err)
	}
	program := filepath.Join(cache, "leads", "dynoxide-"+version, "dynoxide")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintf(log, "Fetching the database engine, dynoxide %s: 4 MB, once.\n", version)
	return program, download(ctx, pkg, program)
}

// download writes the program of the package to path.
func download(ctx context.Context, pkg npmPackage, path string) error {
	cache := filepath.Dir(path)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return fmt.Errorf("the directory for the engine cannot be created, set XDG_CACHE_HOME to another: %w", err)
	}
	dir, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return fmt.Errorf("the directory for the engine cannot be written, set XDG_CACHE_HOME to another: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := installPackage(ctx, pkg, dir); err != nil {
		return err
	}
	program := filepath.Join(dir, "node_modules", filepath.FromSlash(pkg.name), "dynoxide")
	if err := verifyProgram(program, pkg); err != nil {
		return err
	}
	return os.Rename(program, path)
}

// installPackage installs the package in dir with npm, because npm knows the
// user's registry, proxy and certificates.
func installPackage(ctx context.Context, pkg npmPackage, dir string) error {
	npm := exec.CommandContext(ctx, "npm", "install", pkg.name+"@"+version, "--prefix", dir, "--loglevel=error",
		"--ignore-scripts", "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
		// With its own settings, npm needs more than a minute to report a missing network.
		"--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
	npm.WaitDelay = time.Second // for the processes that npm started
	_, err := npm.Output()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("npm is missing, which fetches the database engine: install Node.js 20 or newer from https://nodejs.org, or set DYNAMODB_ENDPOINT to the address of another engine")
	case errors.As(err, &failed):
		reason, _, _ := strings.Cut(string(failed.Stderr), "\n")
		return fmt.Errorf("npm cannot fetch the database engine %s@%s (%s): check the network and npm's registry and proxy (npm config list), or set DYNAMODB_ENDPOINT to the address of another engine", pkg.name, version, reason)
	}
	return err
}

// verifyProgram compares the program with the known hash of the package.
func verifyProgram(path string, pkg npmPackage) error {
	program, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("npm fetched a package without the database engine: %w", err)
	}
	defer program.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, program); err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)); pkg.sha256 != "" && got != pkg.sha256 {
		return fmt.Errorf("the database engine that npm fetched (%s@%s) is not the known one: do not use it, and ask the operator of your npm registry why its SHA-256 is %s", pkg.name, version, got)
	}
	// A power failure must not leave half a program under the final name.
	return program.Sync()
}
