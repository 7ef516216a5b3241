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

// asLeads makes the test binary behave as leads or, when it is called curl, as
// much of that as the greeting of leads serve needs: tests do not depend on
// more than Go and Node.
const asLeads = "LEADS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asLeads) == "":
		os.Exit(m.Run())
	case filepath.Base(os.Args[0]) == "curl":
		curl()
	default:
		main()
	}
}

func curl() {
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
	answer, err := call(*method, os.Args[1], header, *body)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(answer)
}

// TestScripts runs the scripts in testdata, which say in the language of
// rsc.io/script how leads behaves. Beside its usual commands they have
//
//	leads ARG...           run leads to its end
//	exits STATUS ARG...    run leads and want this exit status
//	serve ARG...           start leads serve and wait for its greeting; sets $KEY
//	paste                  give the curl lines of the greeting to a shell
//	end SIGNAL             end leads serve with a signal and check that it
//	                       takes its engine along
//	call METHOD PATH KEY   send a request to $URL and print the answer
//	engine                 start an engine of its own; sets $ENGINE
//	harm ACCOUNT/MODE      make the books of leads serve wrong
//	let NAME REGEXP        set a variable to what the first group of the regular
//	                       expression matches in the last stdout
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
			if err := os.Symlink(os.Args[0], filepath.Join(bin, "curl")); err != nil {
				t.Fatal(err)
			}
			path := bin + string(filepath.ListSeparator) + os.Getenv("PATH")
			state, err := script.NewState(t.Context(), dir, append(environ(), "WORK="+dir, "PATH="+path))
			if err != nil {
				t.Fatal(err)
			}
			if err := state.ExtractFiles(text); err != nil {
				t.Fatal(err)
			}
			scripttest.Run(t, scriptEngine(t), state, file, bytes.NewReader(text.Comment))
		})
	}
}

// scriptEngine returns the commands of one script.
func scriptEngine(t *testing.T) *script.Engine {
	var s *server
	e := script.NewEngine()
	program, sh := script.Program(os.Args[0], nil, 0), script.Program("sh", nil, 0)
	e.Cmds["leads"] = program
	e.Cmds["exits"] = script.Command(
		script.CmdUsage{Summary: "run leads and want an exit status", Args: "status arg..."},
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
	e.Cmds["serve"] = script.Command(
		script.CmdUsage{Summary: "start leads serve", Args: "arg..."},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			var err error
			s, err = startServer(t, state.Getwd(), state.Environ(), args...)
			if err != nil {
				return nil, err
			}
			return printed(s.greeting), state.Setenv("KEY", s.key)
		})
	e.Cmds["paste"] = script.Command(
		script.CmdUsage{Summary: "run the greeting's curl lines"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			lines := regexp.MustCompile(`(?m)^curl (.*\\\n)*.*\n`).FindAllString(s.greeting, -1)
			return sh.Run(state, "-ec", strings.Join(lines, ""))
		})
	e.Cmds["end"] = script.Command(
		script.CmdUsage{Summary: "end leads serve", Args: "signal"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			sent := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[args[0]]
			if signal.Ignored(sent) { // and what we start inherits that
				return nil, fmt.Errorf("%v is ignored, as under nohup: start the tests without it", sent)
			}
			return printed(""), s.end(sent)
		})
	e.Cmds["call"] = script.Command(
		script.CmdUsage{Summary: "send a request", Args: "method path key"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			answer, err := call(args[0], s.url+args[1], http.Header{"Authorization": {"Bearer " + args[2]}}, "")
			return printed(answer), err
		})
	e.Cmds["engine"] = script.Command(
		script.CmdUsage{Summary: "start an engine"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			return nil, state.Setenv("ENGINE", localdbtest.Start(t))
		})
	e.Cmds["harm"] = script.Command(
		script.CmdUsage{Summary: "make the books wrong", Args: "tenant"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			return nil, harm(state.Context(), state.Getwd(), args[0])
		})
	e.Cmds["let"] = script.Command(
		script.CmdUsage{Summary: "set a variable from the last stdout", Args: "name regexp"},
		func(state *script.State, args ...string) (script.WaitFunc, error) {
			value := first("(?m)"+args[1], state.Stdout())
			if value == "" {
				return nil, fmt.Errorf("%s does not match", args[1])
			}
			return nil, state.Setenv(args[0], value)
		})
	return e
}

func printed(stdout string) script.WaitFunc {
	return func(*script.State) (string, string, error) { return stdout, "", nil }
}

// environ is the environment of leads in tests: that of this process, but for
// what leads or the AWS SDK read of it.
func environ() []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "AWS_") && name != "DYNAMODB_ENDPOINT" && name != "LEADS_TABLE" {
			env = append(env, variable)
		}
	}
	return append(env, asLeads+"=1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

// A server is a running leads serve.
type server struct {
	cmd      *exec.Cmd
	greeting string
	url, key string
	engine   int // pid of its engine, 0 when it keeps its data in no directory
	stderr   *log
	wait     func() error // for its end
}

// startServer starts leads serve in the directory and returns when it has
// greeted. Where args name no directory for data, it is .leads.
func startServer(t testing.TB, dir string, env []string, args ...string) (*server, error) {
	s := &server{cmd: exec.Command(os.Args[0], append([]string{"serve"}, args...)...), stderr: new(log)}
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
	for !strings.HasSuffix(s.greeting, "Ctrl-C ends it.\n") {
		if !lines.Scan() {
			return nil, fmt.Errorf("leads serve ends: %v: %s", s.wait(), s.stderr)
		}
		s.greeting += lines.Text() + "\n"
	}
	s.url = first(`answers on (http://\S+)\.\n`, s.greeting)
	s.key = first(`(sk_test_\w+)`, s.greeting)
	if s.url == "" || s.key == "" {
		return nil, fmt.Errorf("the greeting has no address or no key: %s", s.greeting)
	}
	notice, err := os.ReadFile(filepath.Join(dir, ".leads", "engine.json"))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	var n struct{ PID int }
	err = json.Unmarshal(notice, &n)
	s.engine = n.PID
	return s, err
}

func first(pattern, text string) string {
	if match := regexp.MustCompile(pattern).FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return ""
}

// end ends the server with the signal and checks that it ends well and that its
// engine is gone with it.
func (s *server) end(signal os.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	if err := s.wait(); err != nil {
		return fmt.Errorf("leads serve: %w: %s", err, s.stderr)
	}
	return s.engineGone()
}

// engineGone checks that the engine's process is no more.
func (s *server) engineGone() error {
	if s.engine != 0 && syscall.Kill(s.engine, 0) != syscall.ESRCH {
		return fmt.Errorf("the engine, process %d, is still there", s.engine)
	}
	return nil
}

// log is what a process writes to stderr.
type log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// call sends a request and returns the status line and the body of the answer.
func call(method, url string, header http.Header, body string) (string, error) {
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
	answer, err := io.ReadAll(res.Body)
	return res.Status + "\n" + string(answer) + "\n", err
}
