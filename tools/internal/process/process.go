// Package process runs servers beside a tool.
package process

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to exit after a signal.
const stopTimeout = 30 * time.Second

// Server is a running server program.
type Server struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts cmd and waits until url answers an HTTP request with any
// status. It returns an error when the server exits or does not answer within
// the timeout. The output of cmd goes to the file logFile.
//
// cmd gets its own process group: Ctrl-C reaches only the tool, which then
// stops its servers in order.
func Start(ctx context.Context, cmd *exec.Cmd, url, logFile string, timeout time.Duration) (*Server, error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{cmd, make(chan struct{})}
	go func() {
		cmd.Wait() // The state is in cmd.ProcessState.
		close(s.exited)
	}()
	if err := s.waitForAnswer(ctx, url, timeout); err != nil {
		s.Stop(os.Interrupt)
		return nil, fmt.Errorf("%s: %w; see %s", cmd, err, logFile)
	}
	return s, nil
}

func (s *Server) waitForAnswer(ctx context.Context, url string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			return res.Body.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.exited:
			return fmt.Errorf("the server exited (%v)", s.cmd.ProcessState)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// PID returns the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop sends the signal and waits until the server exits. It kills a server
// that has not exited after 30 seconds.
func (s *Server) Stop(signal os.Signal) {
	s.cmd.Process.Signal(signal)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		<-s.exited
	}
}

// FreeAddress returns a loopback address (host:port) that is free now.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
