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
	stop      context.CancelFunc // ends the process
	listening chan struct{}      // closed when the engine listens
	done      chan struct{}      // closed when the engine has ended
	output    []string           // the last lines of output
	err       error              // see Err; set before done is closed
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
	file, err := lockDir(o.Data)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the engine keeps the lock
	e, err := launch(ctx, program, o, file)
	if err != nil {
		return nil, err
	}
	if err := writeInfo(file, engineInfo{e.endpoint, e.cmd.Process.Pid}); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// launch runs the program on a free port. Another process can take the port
// before the engine does; launch then tries another port. lock is the locked
// file of the data directory, or nil for data in memory.
func launch(ctx context.Context, program string, o Options, lock *os.File) (*Engine, error) {
	for attempt := 1; ; attempt++ {
		port, err := findFreePort(o.Host)
		if err != nil {
			return nil, err
		}
		e := &Engine{
			endpoint:  "http://" + net.JoinHostPort(o.Host, port),
			listening: make(chan struct{}),
			done:      make(chan struct{}),
		}
		var processCtx context.Context
		processCtx, e.stop = context.WithCancel(context.Background())
		e.cmd = exec.CommandContext(processCtx, program, "serve", "--host", o.Host, "--port", port)
		e.cmd.Cancel = func() error { return e.cmd.Process.Signal(syscall.SIGTERM) }
		e.cmd.WaitDelay = stopTimeout
		e.cmd.SysProcAttr = processAttributes()
		if lock != nil {
			e.cmd.Args = append(e.cmd.Args, "--db-path", filepath.Join(o.Data, dataFile))
			e.cmd.ExtraFiles = []*os.File{lock}
		}
		go e.run(processCtx)
		select {
		case <-e.listening:
			return e, nil
		case <-ctx.Done():
			e.Stop()
			return nil, ctx.Err()
		case <-e.done:
			if attempt == 5 || !strings.Contains(e.err.Error(), "already in use") {
				return nil, e.err
			}
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

// run runs the process to its end. ctx is done when Stop was called.
func (e *Engine) run(ctx context.Context) {
	// Linux kills an engine when the thread that started it ends (see
	// PR_SET_PDEATHSIG in prctl(2)), so this thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.done)
	output, err := e.cmd.StderrPipe()
	if err == nil {
		e.cmd.Stdout = e.cmd.Stderr
		err = e.cmd.Start()
	}
	if err != nil {
		e.err = fmt.Errorf("the engine's program does not run, delete it so that it is fetched again: %w", err)
		return
	}
	e.readOutput(output)
	e.cmd.Wait() // sets e.cmd.ProcessState
	if ctx.Err() == nil {
		e.err = fmt.Errorf("the engine ended (%s) and its last output was %q: try again, and use another data directory if the output is the same",
			e.cmd.ProcessState, strings.Join(e.output, " "))
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
// It returns nil if Stop ended it.
func (e *Engine) Err() error { return e.err }

// Stop ends the engine and returns when it has ended, after a few seconds at
// most. It returns the same error as Err. It may be called more than once.
func (e *Engine) Stop() error {
	e.stop()
	<-e.done
	return e.err
}
