// Package localdb runs dynoxide, a database engine that speaks DynamoDB's
// protocol, for development and for tests. It is one program of a few
// megabytes over SQLite, starts in some 20 ms and needs neither Docker nor
// Java. The package fetches it once, with npm, and keeps it in the user's
// cache.
//
// An engine ends with the process that started it, unlike a server that one
// has to remember to stop. Engines run on Linux and macOS.
package localdb

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Memory as Options.Data keeps the data in memory, for as long as the engine
// runs.
const Memory = ":memory:"

// Options say how to run an engine.
type Options struct {
	// Data is the directory that keeps the data, or Memory. It is made where
	// it does not exist. Only one engine at a time can use it.
	Data string
	// Host is the IPv4 address to listen on, 127.0.0.1 when empty. The engine asks
	// nobody for a password: whoever reaches the address has the data.
	Host string
	// Log gets a sentence about what takes long. It may be nil.
	Log io.Writer
}

// An Engine is a running engine.
type Engine struct {
	endpoint string
	cmd      *exec.Cmd
	output   *output
	stopping atomic.Bool
	done     chan struct{}
}

// stopTime is how long an engine gets to end in good order. It needs a few
// milliseconds, and what it has acknowledged is safe even when it is killed.
const stopTime = 5 * time.Second

// Start starts an engine and returns when it answers. It fetches the program
// first where this machine has none. ctx bounds the start and not the life of
// the engine, which Stop ends.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	program, err := fetch(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	host := cmp.Or(o.Host, "127.0.0.1")
	if o.Data == Memory {
		return launch(ctx, program, host, nil)
	}
	dir, err := claimDir(o.Data)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	e, err := launch(ctx, program, host, dir)
	if err != nil {
		return nil, err
	}
	if err := dir.announce(e); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// launch runs the program on a free port, over dir or, when it is nil, in
// memory. There is a moment in which another process can take the port that
// was found free: then it tries another.
func launch(ctx context.Context, program, host string, dir *dataDir) (*Engine, error) {
	for attempt := 1; ; attempt++ {
		port, err := freePort(host)
		if err != nil {
			return nil, err
		}
		e := &Engine{
			endpoint: "http://" + net.JoinHostPort(host, port),
			cmd:      exec.Command(program, "serve", "--host", host, "--port", port),
			output:   newOutput(),
			done:     make(chan struct{}),
		}
		e.cmd.Stdout, e.cmd.Stderr = e.output, e.output
		e.cmd.SysProcAttr = attributes()
		if dir != nil {
			dir.handTo(e.cmd)
		}
		err = e.start(ctx)
		if err == nil {
			return e, nil
		}
		if attempt == 5 || !strings.Contains(e.output.String(), "already in use") {
			return nil, err
		}
	}
}

func freePort(host string) (string, error) {
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
	go e.live(started)
	if err := <-started; err != nil {
		return fmt.Errorf("the engine's program does not run, delete it so that it is fetched again: %w", err)
	}
	select {
	case <-e.output.listening:
		return nil
	case <-e.done:
		return e.Err()
	case <-ctx.Done():
		e.Stop()
		return ctx.Err()
	}
}

// live is the life of the process from its start to its end.
func (e *Engine) live(started chan<- error) {
	// Linux ends an engine with the thread, not the process, that started it
	// (PR_SET_PDEATHSIG in prctl(2)). So this thread is not to end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := e.cmd.Start()
	started <- err
	if err == nil {
		e.cmd.Wait() // how it ended is in e.cmd.ProcessState
		close(e.done)
	}
}

// Endpoint returns the engine's address, such as http://127.0.0.1:41523. It
// takes any credentials and any region.
func (e *Engine) Endpoint() string { return e.endpoint }

// Done returns a channel that is closed when the engine has ended.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err says, once Done is closed, why the engine ended and what it said last.
// It is nil when Stop ended it in good order.
func (e *Engine) Err() error {
	if e.stopping.Load() && e.obeyed() {
		return nil
	}
	return fmt.Errorf("the engine ended (%s) and its last words were %q: try again, with another data directory if it says the same",
		e.cmd.ProcessState, e.output)
}

// obeyed reports whether the process ended as SIGTERM has it end: it heeds the
// signal once it is up, and dies of it in the moment before.
func (e *Engine) obeyed() bool {
	status, ok := e.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && (status.ExitStatus() == 0 || status.Signal() == syscall.SIGTERM)
}

// Stop ends the engine and returns when it has ended, within some seconds. It
// may be called more than once.
func (e *Engine) Stop() error {
	e.stopping.Store(true)
	// Both signals fail only when the process has ended already.
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(stopTime):
		e.cmd.Process.Kill()
		<-e.done
	}
	return e.Err()
}
