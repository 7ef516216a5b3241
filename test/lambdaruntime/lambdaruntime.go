// Package lambdaruntime runs a Lambda function on this machine. It starts the
// function's program and serves Lambda's Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) to it: the
// program asks for events and sends its responses. Tests start the deployed
// programs with it, and benchmarks measure how long they take to start.
package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// Options describe the function.
type Options struct {
	// Command is the program with its arguments, such as the path of a
	// bootstrap, or an emulator and that path.
	Command []string

	// Env is the program's environment, as NAME=value. The address of the Runtime
	// API is added. Nothing is inherited, as in Lambda.
	Env []string

	// Log receives what the program writes. It may be nil.
	Log io.Writer

	// Timeout limits an invocation as the function's own setting does. 0 means 10
	// seconds. The program learns its deadline, but it is not stopped.
	Timeout time.Duration
}

// A Function is a running function. It handles one event at a time.
type Function struct {
	timeout time.Duration
	cmd     *exec.Cmd
	server  http.Server
	started time.Time
	ready   chan struct{} // closed at the first request for an event
	ended   chan struct{} // closed when the program ends
	init    time.Duration

	invoking sync.Mutex
	events   chan invocation
	results  chan result
}

type invocation struct {
	id       string
	deadline time.Time
	event    []byte
}

type result struct {
	id   string
	body []byte
	err  error
}

// A FunctionError is an error that the function reported instead of a response:
// JSON with the members errorType and errorMessage.
type FunctionError struct{ Report []byte }

func (e *FunctionError) Error() string {
	return "the function reported an error: " + string(e.Report)
}

// Start starts the program. It does not wait until the function is ready: see
// Ready.
func Start(o Options) (*Function, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Function{
		timeout: o.Timeout,
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
		events:  make(chan invocation),
		results: make(chan result),
	}
	if f.timeout == 0 {
		f.timeout = 10 * time.Second
	}
	f.server.Handler = f.handler()
	go f.server.Serve(listener) // until Stop

	f.cmd = exec.Command(o.Command[0], o.Command[1:]...)
	f.cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "TZ=:UTC"}, o.Env...)
	f.cmd.Stdout, f.cmd.Stderr = o.Log, o.Log
	f.started = time.Now()
	if err := f.cmd.Start(); err != nil {
		f.server.Close()
		return nil, err
	}
	go func() {
		f.cmd.Wait() // endedError reports how it ended
		close(f.ended)
	}()
	return f, nil
}

// PID returns the id of the program's process.
func (f *Function) PID() int { return f.cmd.Process.Pid }

// Ready waits until the function asks for its first event, and returns the time
// that it needed since the start of the program.
func (f *Function) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case <-f.ready:
		return f.init, nil
	case <-f.ended:
		return 0, f.endedError()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Invoke sends an event to the function and returns its response. The error is a
// *FunctionError if the function reported one.
func (f *Function) Invoke(ctx context.Context, id string, event []byte) ([]byte, error) {
	f.invoking.Lock()
	defer f.invoking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	select {
	case f.events <- invocation{id, deadline, event}:
	case <-f.ended:
		return nil, f.endedError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		select {
		case r := <-f.results:
			if r.id == id { // otherwise it belongs to an event that timed out
				return r.body, r.err
			}
		case <-f.ended:
			return nil, f.endedError()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *Function) endedError() error {
	return fmt.Errorf("the function's program has ended (%s)", f.cmd.ProcessState)
}

// Stop kills the program, as Lambda does.
func (f *Function) Stop() error {
	err := f.cmd.Process.Kill()
	<-f.ended
	return errors.Join(err, f.server.Close())
}

// handler returns the Runtime API.
func (f *Function) handler() http.Handler {
	const invocations = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+invocations+"next", f.sendEvent)
	mux.HandleFunc("POST "+invocations+"{id}/response", func(w http.ResponseWriter, r *http.Request) {
		f.receiveResult(w, r, func(body []byte) result { return result{body: body} })
	})
	mux.HandleFunc("POST "+invocations+"{id}/error", func(w http.ResponseWriter, r *http.Request) {
		f.receiveResult(w, r, func(body []byte) result { return result{err: &FunctionError{body}} })
	})
	return mux
}

func (f *Function) sendEvent(w http.ResponseWriter, r *http.Request) {
	select {
	case <-f.ready:
	default: // a program sends one request at a time
		f.init = time.Since(f.started)
		close(f.ready)
	}
	select {
	case i := <-f.events:
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:local")
		h.Set("Content-Type", "application/json")
		w.Write(i.event) // Invoke reports a program that has ended
	case <-r.Context().Done():
	}
}

func (f *Function) receiveResult(w http.ResponseWriter, r *http.Request, newResult func(body []byte) result) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result := newResult(body)
	result.id = r.PathValue("id")
	select {
	case f.results <- result:
		w.WriteHeader(http.StatusAccepted)
	case <-r.Context().Done():
	}
}
