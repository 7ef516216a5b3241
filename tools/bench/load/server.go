package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// root is that of the repository.
const root = "../../.."

// server is a process that answers requests.
type server struct{ cmd *exec.Cmd }

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// startLeads builds and starts leads serve over an engine, and returns its URL.
func startLeads(ctx context.Context, dir, endpoint string) (s *server, url string, err error) {
	program := filepath.Join(dir, "leads")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/leads")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("%w\n%s", err, output)
	}
	cmd := exec.Command(program, "serve", "-addr", "127.0.0.1:0", "-data", filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+endpoint, "LEADS_TABLE="+tableName)
	s, err = start(cmd, func(line string) bool {
		url = address.FindString(line)
		return url != ""
	})
	return s, url, err
}

// startSmallest starts this command as the smallest server over an engine.
func startSmallest(endpoint string, l load) (s *server, said greeting, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, said, err
	}
	cmd := exec.Command(program, "-smallest", endpoint, "-rate", strconv.Itoa(l.rate.Freq),
		"-for", l.lasting.String(), "-rounds", strconv.Itoa(l.rounds))
	cmd.Env = append([]string{"GOGC=400"}, os.Environ()...) // as leads serve sets it, unless it is set
	cmd.Stderr = os.Stderr
	s, err = start(cmd, func(line string) bool { return json.Unmarshal([]byte(line), &said) == nil })
	return s, said, err
}

// start starts a process and returns when a line that it says is the one that is
// waited for.
func start(cmd *exec.Cmd, wanted func(line string) bool) (*server, error) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd}
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if wanted(line) {
			break
		}
		if err != nil {
			return nil, errors.Join(errors.New("a server does not say where it listens"), s.stop())
		}
	}
	go lines.WriteTo(io.Discard) //nolint:errcheck // so that it can go on talking
	return s, nil
}

func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// cpu returns how long the process has had a processor. It is 0 for none.
func (s *server) cpu() (time.Duration, error) {
	if s == nil {
		return 0, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// Fields 14 and 15, in hundredths of a second, of proc_pid_stat(5); the
	// second is a name in brackets.
	_, rest, _ := strings.Cut(string(text), ") ")
	var ticks int64
	for _, field := range strings.Fields(rest)[14-3 : 15-2] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// peakMemory returns the most memory that the process had, in megabytes.
func (s *server) peakMemory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if match == nil {
		return 0, errors.New("the kernel does not tell how much memory the process had")
	}
	kb, err := strconv.ParseFloat(string(match[1]), 64)
	return kb * 1024 / 1e6, err
}
