package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"overplane.dev/leads/test/lambdaruntime"
)

const (
	empty    = "empty"
	ordinary = "ordinary"
	peers    = "tools/bench/cold/peers"
)

// function is a built function and its measured starts.
type function struct {
	name    string
	program string
	starts  []start
}

// start is one measured start: the time until the function asks for an event,
// the time until it has answered the first one, and the CPU time of this answer.
type start struct{ init, first, cpu time.Duration }

// build builds all functions for this machine with the rule that "sam build"
// uses, and the ordinary one with plain "go build".
func build(ctx context.Context, dir string) ([]*function, error) {
	// The rule reads the processor from this file of SAM.
	architecture := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	if err := os.WriteFile(filepath.Join(dir, "build.toml"), []byte(`architecture = "`+architecture+`"`), 0o644); err != nil {
		return nil, err
	}
	functions := []*function{{name: empty}, {name: ordinary}}
	folders, err := os.ReadDir("functions")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		switch folder.Name() {
		case "check-release", "docs": // One runs during deployments only, the other serves files.
		default:
			functions = append(functions, &function{name: folder.Name()})
		}
	}
	for i, f := range functions {
		out := filepath.Join(dir, "build", f.name)
		f.program = filepath.Join(out, "bootstrap")
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, err
		}
		parent := "functions"
		if i < 2 {
			parent = peers
		}
		cmd := exec.CommandContext(ctx, "make", "build-"+f.name, "functions="+parent, "ARTIFACTS_DIR="+out)
		if f.name == ordinary {
			cmd = exec.CommandContext(ctx, "go", "build", "-o", f.program, "./"+peers+"/"+ordinary)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", cmd, err, output)
		}
	}
	return functions, nil
}

// start starts the function, sends it one event and records the times.
func (f *function) start(ctx context.Context, services *services, limit *cpuLimit) error {
	e, err := services.eventFor(ctx, f.name)
	if err != nil {
		return err
	}
	if err := dropFromPageCache(f.program); err != nil {
		return err
	}
	var log bytes.Buffer
	process, err := lambdaruntime.Start(lambdaruntime.Options{Command: []string{f.program}, Env: services.env(f.name), Log: &log})
	if err != nil {
		return err
	}
	defer process.Stop()
	init, err := process.Ready(ctx)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.Bytes())
	}
	if err := limit.add(process.PID()); err != nil {
		return err
	}
	cpuBefore, err := cpuTime(process.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	answer, err := process.Invoke(ctx, "1", e.payload)
	first := time.Since(began)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.Bytes())
	}
	cpuAfter, err := cpuTime(process.PID())
	if err != nil {
		return err
	}
	if !strings.Contains(string(answer), e.answer) {
		return fmt.Errorf("the answer %s does not contain %s\n%s", answer, e.answer, log.Bytes())
	}
	f.starts = append(f.starts, start{init, first, cpuAfter - cpuBefore})
	return nil
}

// cpuTime returns the CPU time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	clock := int32(^pid<<3 | 2) // see clock_getcpuclockid(3)
	err := unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano()), err
}

// dropFromPageCache makes the next start read the program from the disk.
func dropFromPageCache(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil { // Pages that are not on the disk cannot be dropped.
		return err
	}
	return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}
