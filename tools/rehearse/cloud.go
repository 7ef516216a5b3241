package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/tools/internal/await"
	"overplane.dev/leads/tools/internal/python"
	"overplane.dev/leads/tools/internal/rehearsal"
)

// startCloud starts the emulator and returns its address. It keeps nothing.
func startCloud(ctx context.Context) (address string, stop func(), err error) {
	dir, err := python.Ministack.Dir(ctx, os.Stderr)
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(".aws-sam", 0o755); err != nil {
		return "", nil, err
	}
	log, err := os.Create(filepath.Join(".aws-sam", "rehearsal.log"))
	if err != nil {
		return "", nil, err
	}
	defer log.Close()
	address = "http://127.0.0.1:" + port
	cmd := exec.Command(filepath.Join(dir, "bin", "ministack"))
	cmd.Env = append(environment(),
		"AUTH=true",                 // execution roles are enforced
		"LAMBDA_EXECUTOR=local",     // functions run as processes of this machine
		"AWS_ENDPOINT_URL="+address, // and find the emulator
		"BIND_HOST=127.0.0.1", "GATEWAY_PORT="+port, "IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	}
	if err := await.Answer(ctx, "the emulator", address+rehearsal.HealthPath, time.Minute, ended); err != nil {
		stop()
		return "", nil, fmt.Errorf("%w: see %s", err, log.Name())
	}
	return address, stop, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// environment is this process's without what points at an AWS: nothing of a
// rehearsal may reach a real account.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "DYNAMODB_ENDPOINT=") || strings.HasPrefix(v, "LEADS_")
	})
}
