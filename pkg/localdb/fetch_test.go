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

// startWithCache starts an engine in a process whose cache directory is home. It
// returns the output of the process and whether the process succeeded.
func startWithCache(t *testing.T, home string, env ...string) (output string, ok bool) {
	t.Helper()
	userHome, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), startVariable+"="+Memory, "HOME="+home, "XDG_CACHE_HOME="+home,
		// npm still uses the settings of this machine.
		"npm_config_userconfig="+filepath.Join(userHome, ".npmrc"), "npm_config_cache="+filepath.Join(home, "npm"))
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput() // without input it stops at once
	return string(text), err == nil
}

func TestFetch(t *testing.T) {
	t.Run("several processes fetch the engine at the same time", func(t *testing.T) {
		t.Parallel()
		home := t.TempDir()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if output, ok := startWithCache(t, home); !ok || !strings.HasPrefix(output, "Fetching the database engine") {
					t.Errorf("it says %s", output)
				}
			})
		}
		all.Wait()
		if output, ok := startWithCache(t, home, "PATH="); !ok || !strings.HasPrefix(output, "http://") {
			t.Errorf("with the engine in the cache and without npm it says %s", output)
		}
		if left, _ := filepath.Glob(filepath.Join(home, "*", "*", "*", "fetch-*")); len(left) != 0 {
			t.Errorf("left behind: %s", left)
		}
	})

	half := tarball(t, "dynoxide")
	half = half[:len(half)/2]
	for outcome, c := range map[string]struct{ env, want string }{
		"without npm it names Node.js":    {"PATH=" + t.TempDir(), "install Node.js"},
		"without a home it names HOME":    {"HOME=\nXDG_CACHE_HOME=", "set HOME"},
		"without a network it says so":    {"npm_config_registry=http://127.0.0.1:1", "(npm error code ECONNREFUSED): check the network"},
		"a registry without it is named":  {"npm_config_registry=" + registry(t, nil), "(npm error code E404): check the network and npm's registry"},
		"another program is refused":      {"npm_config_registry=" + registry(t, tarball(t, "dynoxide")), "is not the known one"},
		"a package without it is refused": {"npm_config_registry=" + registry(t, tarball(t, "other")), "a package without the database engine"},
		"a page of HTML is refused":       {"npm_config_registry=" + registry(t, []byte("<html>")), "npm cannot fetch the database engine"},
		"half a tarball is refused":       {"npm_config_registry=" + registry(t, half), "npm cannot fetch the database engine"},
	} {
		t.Run(outcome, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			output, ok := startWithCache(t, home, strings.Split(c.env, "\n")...)
			if ok || !strings.Contains(output, c.want) {
				t.Errorf("success: %v, want an error with %q, got: %s", ok, c.want, output)
			}
			if lines := strings.Count(output, "\n"); lines > 2 {
				t.Errorf("the output has %d lines: %s", lines, output)
			}
			if files, _ := filepath.Glob(filepath.Join(home, "leads", "*", "*")); len(files) != 0 {
				t.Errorf("left behind: %s", files)
			}
		})
	}
}

// registry serves npm's protocol with this tarball as every package, or with no
// package if the tarball is nil.
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
			"versions": map[string]any{version: map[string]any{
				"name": name[1:], "version": version,
				"dist": map[string]any{
					"tarball":   "http://" + r.Host + "/engine.tgz",
					"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
				},
			}},
		})
	}))
	// A deferred call would close it before the parallel subtests run.
	t.Cleanup(server.Close)
	return server.URL
}

// tarball returns an npm package with a program of this name that is not the engine.
func tarball(t *testing.T, program string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	files := tar.NewWriter(zip)
	for name, content := range map[string]string{
		"package/package.json": `{"name":"@dynoxide/other","version":"` + version + `"}`,
		"package/" + program:   "#!/bin/sh\necho listening on nothing\n",
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

func TestThisPlatformHasAnEngine(t *testing.T) {
	if _, ok := packages[runtime.GOOS+"/"+runtime.GOARCH]; !ok {
		t.Errorf("no package for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
}
