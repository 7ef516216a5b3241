package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"rsc.io/script"
	"rsc.io/script/scripttest"

	"overplane.dev/leads/test/localdbtest"
)

// runAsCommand names an environment variable. If it is set, the test binary runs
// as leads or, if its name is curl, as the part of curl that the greeting of leads
// serve uses. The tests therefore need only Go and Node.js.
const runAsCommand = "LEADS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(runAsCommand) == "":
		os.Exit(m.Run())
	case filepath.Base(os.Args[0]) == "curl":
		runCurl()
	default:
		main()
	}
}

func runCurl() {
	flags := flag.NewFlagSet("curl", flag.ExitOnError)
	method := flags.String("X", "GET", "")
	body := flags.String("d", "", "")
	header := make(http.Header)
	flags.Func("H", "", func(line string) error {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
		return nil
	})
	flags.Parse(os.Args[2:])
	response, err := sendRequest(*method, os.Args[1], header, *body)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(response)
}

// TestScripts runs the scripts in testdata. They use the language of rsc.io/script
// with these additional commands:
//
//	leads ARG...           run leads
//	exits STATUS ARG...    run leads and check its exit status
//	input FILE ARG...      run leads with the file as standard input
//	serve ARG...           start leads serve and wait for its greeting; sets $KEY
//	greeting-curl          run the curl commands of the greeting in a shell
//	stop SIGNAL            send leads serve a signal, check that it exits with 0
//	                       and that its engine has ended
//	request METHOD PATH KEY
//	                       send a request to leads serve and print the response
//	engine                 start another engine; sets $ENGINE
//	corrupt ACCOUNT/MODE   change a counter in the database of leads serve
//	capture NAME REGEXP    set a variable to the text that the first group of the
//	                       regular expression matches in the last stdout
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, bin := t.TempDir(), t.TempDir()
			for _, command := range []string{"curl", "leads"} {
				if err := os.Symlink(os.Args[0], filepath.Join(bin, command)); err != nil {
					t.Fatal(err)
				}
			}
			path := bin + string(filepath.ListSeparator) + os.Getenv("PATH")
			state, err := script.NewState(t.Context(), dir, append(testEnviron(), "WORK="+dir, "PATH="+path))
			if err != nil {
				t.Fatal(err)
			}
			if err := state.ExtractFiles(text); err != nil {
				t.Fatal(err)
			}
			scripttest.Run(t, newScriptEngine(t), state, file, bytes.NewReader(text.Comment))
		})
	}
}

// newScriptEngine returns the commands for one script.
func newScriptEngine(t *testing.T) *script.Engine {
	var s *server
	e := script.NewEngine()
	program, sh := script.Program(os.Args[0], nil, 0), script.Program("sh", nil, 0)
	e.Cmds["leads"] = program
	e.Cmds["exits"] = script.Command(
		script.CmdUsage{Summary: "run leads and check its exit status", Args: "status arg..."},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			wait, err := program.Run(state, args[1:]...)
			if err != nil {
				return nil, err
			}
			return func(state *script.State) (stdout, stderr string, err error) {
				stdout, stderr, err = wait(state)
				status := "0"
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					status = fmt.Sprint(exit.ExitCode())
				}
				if status != args[0] {
					return stdout, stderr, fmt.Errorf("exit status %s, want %s", status, args[0])
				}
				return stdout, stderr, nil
			}, nil
		})
	e.Cmds["input"] = script.Command(
		script.CmdUsage{Summary: "run leads with a file as standard input", Args: "file arg..."},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			const command = `file="$1"; shift; exec "$0" "$@" <"$file"`
			return sh.Run(state, append([]string{"-c", command, os.Args[0]}, args...)...)
		})
	e.Cmds["serve"] = script.Command(
		script.CmdUsage{Summary: "start leads serve", Args: "arg..."},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			var err error
			s, err = startServer(t, state.Getwd(), state.Environ(), args...)
			if err != nil {
				return nil, err
			}
			return printText(s.greeting), state.Setenv("KEY", s.key)
		})
	e.Cmds["greeting-curl"] = script.Command(
		script.CmdUsage{Summary: "run the curl commands of the greeting"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			lines := regexp.MustCompile(`(?m)^curl (.*\\\n)*.*\n`).FindAllString(s.greeting, -1)
			return sh.Run(state, "-ec", strings.Join(lines, ""))
		})
	e.Cmds["stop"] = script.Command(
		script.CmdUsage{Summary: "stop leads serve", Args: "signal"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			sig := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[args[0]]
			if signal.Ignored(sig) { // child processes inherit that
				return nil, fmt.Errorf("%v is ignored, as under nohup: start the tests without it", sig)
			}
			return printText(""), s.stop(sig)
		})
	e.Cmds["request"] = script.Command(
		script.CmdUsage{Summary: "send a request", Args: "method path key"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			response, err := sendRequest(args[0], s.url+args[1], http.Header{"Authorization": {"Bearer " + args[2]}}, "")
			return printText(response), err
		})
	e.Cmds["engine"] = script.Command(
		script.CmdUsage{Summary: "start an engine"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			return nil, state.Setenv("ENGINE", localdbtest.Start(t))
		})
	e.Cmds["corrupt"] = script.Command(
		script.CmdUsage{Summary: "change a counter", Args: "tenant"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			return nil, corruptCounter(state.Context(), state.Getwd(), args[0])
		})
	e.Cmds["capture"] = script.Command(
		script.CmdUsage{Summary: "set a variable from the last stdout", Args: "name regexp"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			value := matchFirst("(?m)"+args[1], state.Stdout())
			if value == "" {
				return nil, fmt.Errorf("%s does not match", args[1])
			}
			return nil, state.Setenv(args[0], value)
		})
	return e
}

func printText(stdout string) script.WaitFunc {
	return func(*script.State) (string, string, error) { return stdout, "", nil }
}

// testEnviron returns the environment for leads in tests: that of this process
// without the variables that leads and the AWS SDK read.
func testEnviron() []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "LEADS_") && name != "DYNAMODB_ENDPOINT" {
			env = append(env, variable)
		}
	}
	return append(env, runAsCommand+"=1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

// A server is a running leads serve.
type server struct {
	cmd      *exec.Cmd
	greeting string
	url, key string
	engine   int // process id of its engine; 0 if its data is in memory
	stderr   *safeBuffer
	wait     func() error // waits for its end
}

// startServer starts leads serve in the directory and waits for its greeting. args
// must not name a data directory if the test uses server.engine.
func startServer(t testing.TB, dir string, env []string, args ...string) (*server, error) {
	s := &server{cmd: exec.Command(os.Args[0], append([]string{"serve"}, args...)...), stderr: new(safeBuffer)}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stderr = dir, env, s.stderr
	s.wait = sync.OnceValue(s.cmd.Wait)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.wait()
	})

	lines := bufio.NewScanner(stdout)
	for !strings.HasSuffix(s.greeting, "Press Ctrl-C to stop.\n") {
		if !lines.Scan() {
			return nil, fmt.Errorf("leads serve ended: %v: %s", s.wait(), s.stderr)
		}
		s.greeting += lines.Text() + "\n"
	}
	s.url = matchFirst(`answers on (http://\S+)\.\n`, s.greeting)
	s.key = matchFirst(`(sk_test_\w+)`, s.greeting)
	if s.url == "" || s.key == "" {
		return nil, fmt.Errorf("the greeting has no address or no key: %s", s.greeting)
	}
	file, err := os.ReadFile(filepath.Join(dir, ".leads", "engine.json"))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	var info struct{ PID int }
	err = json.Unmarshal(file, &info)
	s.engine = info.PID
	return s, err
}

func matchFirst(pattern, text string) string {
	if match := regexp.MustCompile(pattern).FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return ""
}

// stop sends the server the signal and checks that the server exits with 0 and that
// its engine has ended.
func (s *server) stop(signal os.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	if err := s.wait(); err != nil {
		return fmt.Errorf("leads serve: %w: %s", err, s.stderr)
	}
	return s.checkEngineEnded()
}

// checkEngineEnded checks that the engine's process has ended.
func (s *server) checkEngineEnded() error {
	if s.engine != 0 && syscall.Kill(s.engine, 0) != syscall.ESRCH {
		return fmt.Errorf("the engine, process %d, is still running", s.engine)
	}
	return nil
}

// safeBuffer is a buffer for concurrent use.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sendRequest sends a request and returns the status line and the body of the
// response.
func sendRequest(method, url string, header http.Header, body string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return res.Status + "\n" + string(content) + "\n", err
}

// TestHelpFitsTerminals checks that no line of help is longer than 80 characters.
func TestHelpFitsTerminals(t *testing.T) {
	names := []string{"", "keys"}
	for _, c := range commands {
		names = append(names, c.name)
	}
	for _, name := range names {
		cmd := exec.CommandContext(t.Context(), os.Args[0], append(strings.Fields(name), "-h")...)
		cmd.Env = testEnviron()
		help, err := cmd.Output()
		if err != nil || len(help) == 0 {
			t.Errorf("leads %s -h: %q, %v", name, help, err)
		}
		for line := range strings.Lines(string(help)) {
			if n := len(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("leads %s -h: %d characters in %q", name, n, line)
			}
		}
	}
}
