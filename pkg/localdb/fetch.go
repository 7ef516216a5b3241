package localdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Version is the version of dynoxide that this package runs.
const Version = "1.2.1"

// packages names the npm package with the program, by GOOS/GOARCH.
var packages = map[string]npmPackage{
	"linux/amd64": {
		name:      "@dynoxide/linux-x64",
		integrity: "sha512-sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg==",
	},
	// No one here has seen the bytes of these: what protects them is that npm
	// compares each download with the hash that the registry gives for it.
	"linux/arm64":  {name: "@dynoxide/linux-arm64"},
	"darwin/amd64": {name: "@dynoxide/darwin-x64"},
	"darwin/arm64": {name: "@dynoxide/darwin-arm64"},
}

type npmPackage struct {
	name      string
	integrity string // of its tarball, as in a package-lock.json; "" when not known
}

// fetch returns the path of the program, which it fetches where the user's
// cache has none. Several processes may do so at the same time: each works in
// a directory of its own, and the last step, a rename, is atomic.
func fetch(ctx context.Context, log io.Writer) (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := packages[platform]
	if !ok {
		return "", fmt.Errorf("there is no engine for %s: set DYNAMODB_ENDPOINT to the address of another engine, such as DynamoDB Local", platform)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no place for the engine, set HOME or XDG_CACHE_HOME: %w", err)
	}
	program := filepath.Join(cache, "leads", "dynoxide-"+Version, "dynoxide")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}

	fmt.Fprintf(log, "Fetching the database engine, dynoxide %s: 4 MB, once.\n", Version)
	if err := install(ctx, pkg, program); err != nil {
		return "", err
	}
	return program, nil
}

// install puts the program of the package at path.
func install(ctx context.Context, pkg npmPackage, path string) error {
	home := filepath.Dir(path)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("there is no place for the engine, set XDG_CACHE_HOME to a directory of yours: %w", err)
	}
	dir, err := os.MkdirTemp(home, "fetch-")
	if err != nil {
		return fmt.Errorf("there is no place for the engine, set XDG_CACHE_HOME to a directory of yours: %w", err)
	}
	defer os.RemoveAll(dir)

	tarball, err := download(ctx, pkg, dir)
	if err != nil {
		return err
	}
	if err := verify(tarball, pkg); err != nil {
		return err
	}
	program := filepath.Join(dir, "dynoxide")
	if err := unpack(tarball, program); err != nil {
		return fmt.Errorf("the engine's package cannot be unpacked: %w", err)
	}
	return os.Rename(program, path)
}

// download has npm fetch the package's tarball into dir, since npm knows the
// user's registry, proxy and certificates.
func download(ctx context.Context, pkg npmPackage, dir string) ([]byte, error) {
	npm := exec.CommandContext(ctx, "npm", "pack", pkg.name+"@"+Version, "--json",
		// By itself npm takes more than a minute to say that it has no network.
		"--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
	npm.Dir = dir
	npm.WaitDelay = time.Second // for what npm started, when it is called off
	said, err := npm.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("npm is missing, which fetches the database engine: install Node.js 20 or newer from https://nodejs.org, or set DYNAMODB_ENDPOINT to the address of another engine")
	case err != nil:
		return nil, npmError(pkg, said, err)
	}
	tarballs, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(tarballs) != 1 {
		return nil, fmt.Errorf("npm left %d packages instead of one, update it: npm install -g npm", len(tarballs))
	}
	return os.ReadFile(tarballs[0])
}

// npmError makes a sentence of how npm pack --json fails.
func npmError(pkg npmPackage, said []byte, err error) error {
	var failure struct {
		Error struct{ Code, Summary string }
	}
	if json.Unmarshal(said, &failure) != nil || failure.Error.Code == "" {
		return fmt.Errorf("npm failed to fetch the database engine, see npm pack %s@%s: %w", pkg.name, Version, err)
	}
	switch code := failure.Error.Code; code {
	case "E404", "ETARGET":
		return fmt.Errorf("npm's registry does not have the database engine (%s@%s): set DYNAMODB_ENDPOINT to the address of another engine, such as DynamoDB Local", pkg.name, Version)
	case "EINTEGRITY":
		return fmt.Errorf("npm received something else than the database engine (%s): run npm cache clean --force and try again", code)
	default:
		return fmt.Errorf("npm cannot fetch the database engine (%s): check the network and npm's proxy and registry settings (npm config list), then try again", code)
	}
}

// verify compares the tarball with the hash that is known for the package.
func verify(tarball []byte, pkg npmPackage) error {
	sum := sha512.Sum512(tarball)
	got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	if pkg.integrity != "" && got != pkg.integrity {
		return fmt.Errorf("the database engine that npm fetched (%s@%s) is not the known one: do not use it, and ask who runs npm's registry for you why its hash is %s", pkg.name, Version, got)
	}
	return nil
}

// unpack writes the program in the tarball to path.
func unpack(tarball []byte, path string) error {
	uncompressed, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	files := tar.NewReader(uncompressed)
	for {
		file, err := files.Next()
		if err == io.EOF {
			return errors.New("it holds no package/dynoxide")
		}
		if err != nil {
			return err
		}
		if file.Name == "package/dynoxide" {
			return writeProgram(path, files)
		}
	}
}

func writeProgram(path string, content io.Reader) error {
	program, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	defer program.Close()
	if _, err := io.Copy(program, content); err != nil {
		return err
	}
	// On the disk before it gets its final name, lest a machine that loses
	// power keep a program of which half is missing.
	if err := program.Sync(); err != nil {
		return err
	}
	return program.Close()
}
