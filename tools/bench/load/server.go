package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/tools/internal/process"
)

// server is a process that answers requests, with a database of its own.
type server struct {
	name     string
	requests *requests
	process  *process.Server
	engine   *localdb.Engine
}

// startServer builds and starts the command in folder, prepared for n requests.
// arguments returns the command's arguments for an address to listen on.
func startServer(ctx context.Context, dir, name, folder string, n int, arguments func(address string) []string) (*server, error) {
	engine, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &server{name: name, engine: engine}
	if err := s.start(ctx, filepath.Join(dir, filepath.Base(folder)), folder, n, arguments); err != nil {
		engine.Stop()
		return nil, err
	}
	return s, nil
}

func (s *server) start(ctx context.Context, program, folder string, n int, arguments func(address string) []string) (err error) {
	if s.requests, err = prepareRequests(ctx, s.engine.Endpoint(), n); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = folder
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", build, err, output)
	}
	address, err := process.FreeAddress()
	if err != nil {
		return err
	}
	s.requests.url = "http://" + address
	cmd := exec.Command(program, arguments(address)...)
	cmd.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+s.engine.Endpoint(), "LEADS_TABLE="+tableName)
	s.process, err = process.Start(ctx, cmd, s.requests.url, program+".log", 30*time.Second)
	return err
}

func (s *server) stop() {
	s.process.Stop(syscall.SIGTERM)
	s.engine.Stop()
}

// cpuTime returns the CPU time that the process has used.
func (s *server) cpuTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.PID()))
	if err != nil {
		return 0, err
	}
	// See proc_pid_stat(5): fields 14 and 15 are user and system time in
	// hundredths of a second. Field 2, the name in brackets, is cut off.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[14-3 : 15-2] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
