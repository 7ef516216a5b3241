package localdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// startAnew runs a process that starts an engine, whose cache is empty but for
// what is in home, and returns its output and whether it succeeded.
func startAnew(t *testing.T, home string, env ...string) (output string, ok bool) {
	t.Helper()
	own, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), startVariable+"="+Memory, "HOME="+home, "XDG_CACHE_HOME="+home,
		// npm keeps to the settings of this machine.
		"npm_config_userconfig="+filepath.Join(own, ".npmrc"), "npm_config_cache="+filepath.Join(home, "npm"))
	cmd.Env = append(cmd.Env, env...)
	said, err := cmd.CombinedOutput() // with no input: it stops at once
	return string(said), err == nil
}

func TestFetch(t *testing.T) {
	t.Run("many who have no engine fetch it at the same time", func(t *testing.T) {
		t.Parallel()
		home := t.TempDir()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if output, ok := startAnew(t, home); !ok || !strings.HasPrefix(output, "Fetching the database engine") {
					t.Errorf("it says %s", output)
				}
			})
		}
		all.Wait()
		if output, ok := startAnew(t, home, "PATH="); !ok || !strings.HasPrefix(output, "http://") {
			t.Errorf("with the engine there, and no npm, it says %s", output)
		}
		if left, _ := filepath.Glob(filepath.Join(home, "*", "*", "*", "fetch-*")); len(left) != 0 {
			t.Errorf("left behind: %s", left)
		}
	})

	for outcome, c := range map[string]struct{ env, want string }{
		"without npm it says what to install": {"PATH=" + t.TempDir(), "install Node.js"},
		"without a home it says what to set":  {"HOME=\nXDG_CACHE_HOME=", "set HOME"},
		"without a registry it names network": {"npm_config_registry=http://127.0.0.1:1", "(ECONNREFUSED): check the network"},
		"a registry without it is named":      {"npm_config_registry=" + registry(t, nil), "npm's registry does not have the database engine"},
		"another tarball is refused":          {"npm_config_registry=" + registry(t, tarball(t)), "is not the known one"},
	} {
		t.Run(outcome, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			output, ok := startAnew(t, home, strings.Split(c.env, "\n")...)
			if ok || !strings.Contains(output, c.want) {
				t.Errorf("success: %v, want an error with %q, got: %s", ok, c.want, output)
			}
			if lines := strings.Count(output, "\n"); lines > 2 {
				t.Errorf("it takes %d lines to say so: %s", lines, output)
			}
			if files, _ := filepath.Glob(filepath.Join(home, "leads", "*", "*")); len(files) != 0 {
				t.Errorf("left behind: %s", files)
			}
		})
	}
}

// registry serves npm's protocol with one tarball under every name, or with
// nothing.
func registry(t *testing.T, tarball []byte) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isTarball := strings.CutSuffix(r.URL.Path, ".tgz")
		if tarball == nil {
			http.Error(w, "{}", http.StatusNotFound)
			return
		}
		if isTarball {
			w.Write(tarball)
			return
		}
		sum := sha512.Sum512(tarball)
		json.NewEncoder(w).Encode(map[string]any{
			"name": name[1:],
			"versions": map[string]any{Version: map[string]any{
				"name": name[1:], "version": Version,
				"dist": map[string]any{
					"tarball":   "http://" + r.Host + "/engine.tgz",
					"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
				},
			}},
		})
	}))
	// Not closed by a deferred call: the parallel subtests still need it.
	t.Cleanup(server.Close)
	return server.URL
}

// tarball returns an npm package with a program that is not the engine.
func tarball(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	files := tar.NewWriter(zip)
	for name, content := range map[string]string{
		"package/package.json": `{"name":"@dynoxide/other","version":"` + Version + `"}`,
		"package/dynoxide":     "#!/bin/sh\necho listening on nothing\n",
	} {
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestUnpack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := unpack(tarball(t), path); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(path).Output(); string(output) != "listening on nothing\n" {
		t.Errorf("the program says %q, %v", output, err)
	}
	whole := tarball(t)
	for outcome, tarball := range map[string][]byte{
		"a page of HTML is refused":            []byte("<html>"),
		"a tarball that breaks off is refused": whole[:len(whole)/2],
	} {
		t.Run(outcome, func(t *testing.T) {
			if err := unpack(tarball, filepath.Join(t.TempDir(), "program")); err == nil {
				t.Error("it was unpacked")
			}
		})
	}
}

func TestThisPlatformHasAnEngine(t *testing.T) {
	if _, ok := packages[runtime.GOOS+"/"+runtime.GOARCH]; !ok {
		t.Errorf("no package for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
}
