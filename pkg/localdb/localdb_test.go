package localdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startVariable names an environment variable. If it is set, the test binary
// starts an engine over the data that it names, and stops it when its input ends.
const startVariable = "ENGINE_TEST_START"

func TestMain(m *testing.M) {
	if data := os.Getenv(startVariable); data != "" {
		e, err := Start(context.Background(), Options{Data: data, Log: os.Stdout})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(e.Endpoint())
		io.Copy(io.Discard, os.Stdin)
		e.Stop()
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T, data string) *Engine {
	t.Helper()
	e, err := Start(t.Context(), Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop() })
	return e
}

// call sends a request of DynamoDB's protocol and returns the answer.
func call(t *testing.T, endpoint, operation, body string) string {
	t.Helper()
	req, err := http.NewRequest("POST", endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("X-Amz-Date", "20260102T120000Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20260102/local/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		t.Fatalf("%s answers %s: %s", operation, res.Status, answer)
	}
	return string(answer)
}

const oneTable = `{
	"TableName": "kept", "BillingMode": "PAY_PER_REQUEST",
	"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
	"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]
}`

func TestStart(t *testing.T) {
	t.Run("an engine in memory answers until Stop", func(t *testing.T) {
		e := start(t, Memory)
		if got := call(t, e.Endpoint(), "ListTables", "{}"); got != `{"TableNames":[]}` {
			t.Errorf("a new engine has the tables %s", got)
		}
		if err := e.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if res, err := http.Get(e.Endpoint()); err == nil {
			t.Errorf("it still answers %s", res.Status)
		}
		if err := e.Stop(); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
	})

	t.Run("data outlives the engine, private to its owner", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new", "data")
		e := start(t, dir)
		call(t, e.Endpoint(), "CreateTable", oneTable)
		checkPrivate(t, dir)
		if err := e.Stop(); err != nil {
			t.Fatal(err)
		}
		e = start(t, dir)
		if got := call(t, e.Endpoint(), "ListTables", "{}"); got != `{"TableNames":["kept"]}` {
			t.Errorf("after the second start there are the tables %s", got)
		}
	})

	t.Run("it listens on the address given", func(t *testing.T) {
		e, err := Start(t.Context(), Options{Data: Memory, Host: "0.0.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Stop()
		if !strings.HasPrefix(e.Endpoint(), "http://0.0.0.0:") {
			t.Errorf("the endpoint is %s", e.Endpoint())
		}
		call(t, e.Endpoint(), "ListTables", "{}")
	})

	t.Run("an address of another machine is refused", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Data: Memory, Host: "192.0.2.1"}) // RFC 5737
		wantError(t, err, "address of this machine")
	})

	t.Run("a second engine over the same data is refused", func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir)
		_, err := Start(t.Context(), Options{Data: dir})
		wantError(t, err, "another process uses the data in "+dir)
	})

	t.Run("a damaged database is refused with the engine's output", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "leads.db"), []byte("not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{Data: dir})
		wantError(t, err, "not a valid SQLite database")
		if _, ok, err := Running(dir); ok || err != nil {
			t.Errorf("Running = %v, %v after the refusal", ok, err)
		}
	})

	t.Run("a file as data directory is refused", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{Data: file})
		wantError(t, err, "give another")
	})

	t.Run("a cancelled start leaves no engine", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// The engine may start before Start sees the cancellation.
		if e, err := Start(ctx, Options{Data: dir}); err == nil {
			e.Stop()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if _, ok, err := Running(dir); ok || err != nil {
			t.Errorf("Running = %v, %v", ok, err)
		}
	})

	t.Run("Err reports an engine that was killed", func(t *testing.T) {
		e := start(t, Memory)
		if err := e.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-e.Done()
		wantError(t, e.Err(), "the engine ended (signal: killed)")
		wantError(t, e.Stop(), "the engine ended (signal: killed)")
	})

	t.Run("Err reports an engine that another process ended", func(t *testing.T) {
		e := start(t, Memory)
		if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-e.Done()
		wantError(t, e.Err(), "the engine ended")
	})
}

func TestRunning(t *testing.T) {
	dir := t.TempDir()
	wantNone := func(t *testing.T) {
		t.Helper()
		if endpoint, ok, err := Running(dir); ok || err != nil {
			t.Errorf("Running = %q, %v, %v, want none", endpoint, ok, err)
		}
	}
	wantNone(t)
	e := start(t, dir)
	if endpoint, ok, err := Running(dir); endpoint != e.Endpoint() || !ok || err != nil {
		t.Errorf("Running = %q, %v, %v, want %s", endpoint, ok, err, e.Endpoint())
	}
	e.Stop()
	wantNone(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantNone(t)
}

func TestEngineEndsWithItsParent(t *testing.T) {
	for outcome, end := range map[string]func(parent *exec.Cmd, input io.Closer) error{
		"that stops it":   func(_ *exec.Cmd, input io.Closer) error { return input.Close() },
		"that was killed": func(parent *exec.Cmd, _ io.Closer) error { return parent.Process.Kill() },
	} {
		t.Run(outcome, func(t *testing.T) {
			dir := t.TempDir()
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), startVariable+"="+dir)
			parent.Stderr = t.Output()
			input, err := parent.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			output, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			endpoint, err := bufio.NewReader(output).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			call(t, strings.TrimSpace(endpoint), "ListTables", "{}")

			if err := end(parent, input); err != nil {
				t.Fatal(err)
			}
			parent.Wait()
			// The engine holds the lock while it runs, so this waits for its end.
			file, err := os.Open(filepath.Join(dir, "engine.json"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH); err != nil {
				t.Fatal(err)
			}
			var info engineInfo
			if err := json.NewDecoder(file).Decode(&info); err != nil {
				t.Fatal(err)
			}
			if res, err := http.Get(info.Endpoint); err == nil {
				t.Errorf("the engine still answers %s", res.Status)
			}
		})
	}
}

// checkPrivate checks that only the owner can use the directory and its files.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %o", path, mode)
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Errorf("%d files in %s: %v", files, dir, err)
	}
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got the error %v, want one with %q", err, part)
	}
}
