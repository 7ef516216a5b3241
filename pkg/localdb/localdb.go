// Package localdb runs dynoxide, a database engine that speaks DynamoDB's
// protocol, for development and for tests. The engine is one program of 8 MB
// over SQLite. It starts in about 20 ms and needs neither Docker nor Java. The
// package downloads it once, with npm, into the user's cache.
//
// An engine ends with the process that started it; on macOS it survives if that
// process is killed. Engines run on Linux and macOS.
package localdb

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Memory is the value of Options.Data that keeps the data in memory. They are
// lost when the engine ends.
const Memory = ":memory:"

// Options configure an engine.
type Options struct {
	// Data is the directory for the data, or Memory. Start creates the
	// directory if needed. Only one engine at a time can use it.
	Data string
	// Host is the IPv4 address to listen on; the default is 127.0.0.1. The
	// engine checks no credentials and allows requests of every web page, so
	// whoever reaches the address can read and write all data.
	Host string
	// Log receives a line before a download. It may be nil.
	Log io.Writer
}

// An Engine is a running engine.
type Engine struct {
	endpoint  string
	cmd       *exec.Cmd
	listening chan struct{} // closed when the engine listens
	stopping  atomic.Bool
	done      chan struct{} // closed when the engine has ended
	output    []string      // the last lines of output; complete when done is closed
}

const (
	// stopTimeout is how long Stop waits before it kills the engine. An engine
	// needs a few milliseconds. A kill loses no acknowledged write.
	stopTimeout = 5 * time.Second

	// outputLines is how many lines of output an Engine keeps for its error.
	outputLines = 20
)

// Start starts an engine and returns when it listens. It first downloads the
// program if this machine does not have it. ctx limits only the start; Stop ends
// the engine.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	program, err := findProgram(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	if o.Data == Memory {
		return launch(ctx, program, o, nil)
	}
	info, err := lockDir(o.Data)
	if err != nil {
		return nil, err
	}
	defer info.Close() // the engine keeps the lock
	e, err := launch(ctx, program, o, info)
	if err != nil {
		return nil, err
	}
	if err := writeInfo(info, engineInfo{e.endpoint, e.cmd.Process.Pid}); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// launch runs the program on a free port. Another process can take the port
// before the engine does; launch then tries another port. info is the locked
// engine.json of the data directory, or nil for data in memory.
func launch(ctx context.Context, program string, o Options, info *os.File) (*Engine, error) {
	for attempt := 1; ; attempt++ {
		port, err := findFreePort(o.Host)
		if err != nil {
			return nil, err
		}
		e := &Engine{
			endpoint:  "http://" + net.JoinHostPort(o.Host, port),
			cmd:       exec.Command(program, "serve", "--host", o.Host, "--port", port),
			listening: make(chan struct{}),
			done:      make(chan struct{}),
		}
		e.cmd.SysProcAttr = processAttributes()
		if info != nil {
			e.cmd.Args = append(e.cmd.Args, "--db-path", filepath.Join(o.Data, dataFile))
			e.cmd.ExtraFiles = []*os.File{info}
		}
		err = e.start(ctx)
		if err == nil {
			return e, nil
		}
		if attempt == 5 || !strings.Contains(err.Error(), "already in use") {
			return nil, err
		}
	}
}

func findFreePort(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("the engine can only listen on an address of this machine: %w", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// start starts the process and waits until it listens.
func (e *Engine) start(ctx context.Context) error {
	started := make(chan error)
	go e.run(started)
	if err := <-started; err != nil {
		return fmt.Errorf("the engine's program does not run, delete it so that it is fetched again: %w", err)
	}
	select {
	case <-e.listening:
		return nil
	case <-e.done:
		return e.Err()
	case <-ctx.Done():
		e.Stop()
		return ctx.Err()
	}
}

// run starts the process, reports that on started, and returns when the process
// has ended.
func (e *Engine) run(started chan<- error) {
	// Linux kills an engine when the thread that started it ends (see
	// PR_SET_PDEATHSIG in prctl(2)), so this thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := e.cmd.StderrPipe()
	if err == nil {
		e.cmd.Stdout = e.cmd.Stderr
		err = e.cmd.Start()
	}
	started <- err
	if err == nil {
		e.readOutput(output)
		e.cmd.Wait() // sets e.cmd.ProcessState
		close(e.done)
	}
}

// readOutput reads the engine's output to its end.
func (e *Engine) readOutput(output io.Reader) {
	setListening := sync.OnceFunc(func() { close(e.listening) })
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening on") {
			setListening()
		}
		e.output = append(e.output, lines.Text())
		if len(e.output) > outputLines {
			e.output = e.output[1:]
		}
	}
	io.Copy(io.Discard, output) // after a line that is too long for the scanner
}

// Endpoint returns the engine's address, such as http://127.0.0.1:41523. The
// engine accepts any credentials and any region.
func (e *Engine) Endpoint() string { return e.endpoint }

// Done returns a channel that is closed when the engine has ended.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err returns, after Done is closed, why the engine ended, with its last output.
// It returns nil if Stop ended it normally.
func (e *Engine) Err() error {
	// An engine that has just started dies of SIGTERM; later it exits with 0.
	status, ok := e.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if e.stopping.Load() && ok && (status.ExitStatus() == 0 || status.Signal() == syscall.SIGTERM) {
		return nil
	}
	return fmt.Errorf("the engine ended (%s) and its last output was %q: try again, and use another data directory if the output is the same",
		e.cmd.ProcessState, strings.Join(e.output, " "))
}

// Stop ends the engine and returns when it has ended, after a few seconds at
// most. It returns the same error as Err. It may be called more than once.
func (e *Engine) Stop() error {
	e.stopping.Store(true)
	// Signal and Kill fail only if the process has already ended.
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(stopTimeout):
		e.cmd.Process.Kill()
		<-e.done
	}
	return e.Err()
}
