package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/tools/internal/await"
	"overplane.dev/leads/tools/internal/python"
)

const (
	// region is made up, as are the credentials: no call leaves this machine.
	region = "eu-west-1"

	startTime = 2 * time.Minute
	endTime   = 30 * time.Second
)

// samCLI is the command sam.
type samCLI struct {
	program string
	options []string // of sam local
}

// findSAM returns the user's own SAM CLI or one that it fetches, and sees to
// the image: on a machine that can pull it, that is SAM's own business.
func findSAM(ctx context.Context, d *docker) (*samCLI, error) {
	_, err := exec.LookPath("sam")
	canPull := d.pull(ctx)
	if err == nil && canPull {
		return &samCLI{program: "sam"}, nil
	}
	dir, err := python.SAM.Dir(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	cli := &samCLI{program: filepath.Join(dir, "bin", "sam")}
	if !canPull {
		if err := d.makeImage(ctx, dir); err != nil {
			return nil, err
		}
		cli.options = []string{"--skip-pull-image"}
	}
	return cli, nil
}

func (s *samCLI) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.program, args...)
	cmd.Env = append(os.Environ(), "SAM_CLI_TELEMETRY=0",
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_SESSION_TOKEN=",
		"AWS_MAX_ATTEMPTS=1") // SAM asks for the account, in vain
	return cmd
}

// build builds the functions for this machine's processor.
func (s *samCLI) build(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "Building the functions.")
	cmd := s.command("build", "--parameter-overrides", "Architecture="+architecture())
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sam build failed (%v):\n%s", err, output)
	}
	return ctx.Err()
}

// errPortTaken: SAM draws a port for each container without a look at the
// others, so that now and then two have the same.
var errPortTaken = errors.New("sam local gave two containers the same port")

// serve starts the local API, calls then while it answers, and ends it.
func (s *samCLI) serve(ctx context.Context, addr, endpoint string, then func() error) error {
	for attempt := 1; ; attempt++ {
		err := s.serveOnce(ctx, addr, endpoint, then)
		if attempt == 3 || !errors.Is(err, errPortTaken) {
			return err
		}
		fmt.Fprintln(os.Stderr, "Starting again:", errPortTaken)
	}
}

func (s *samCLI) serveOnce(ctx context.Context, addr, endpoint string, then func() error) (err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	variables, err := variablesFile()
	if err != nil {
		return err
	}
	defer os.Remove(variables)
	args := []string{
		"local", "start-api", "--host", host, "--port", port, "--warm-containers", "EAGER",
		"--env-vars", variables, "--parameter-overrides", "Architecture=" + architecture(), "DynamodbEndpoint=" + endpoint,
	}
	cmd := s.command(append(args, s.options...)...)
	log, err := os.Create(filepath.Join(".aws-sam", "local.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	// Ctrl-C is for us: SAM then ends in good order, before the database does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	fmt.Fprintf(os.Stderr, "Starting sam local; what it and the functions say is in %s.\n", log.Name())
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // how it ended is in cmd.ProcessState
		close(ended)
	}()
	defer func() { err = errors.Join(err, end(cmd, ended)) }()

	if err := await.Answer(ctx, "sam local", "http://"+addr+"/", startTime, ended); err != nil {
		said := string(tail(log))
		if strings.Contains(said, "port is already allocated") {
			err = errPortTaken
		}
		return fmt.Errorf("%w; the end of %s:\n%s", err, log.Name(), said)
	}
	return then()
}

// variablesFile says which table the functions use: here nothing makes that of
// the template.
func variablesFile() (string, error) {
	file, err := os.CreateTemp("", "leads-*.json")
	if err != nil {
		return "", err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, `{"Parameters":{"LEADS_TABLE":%q}}`, tableName)
	return file.Name(), err
}

// end ends sam local and what it may have left.
func end(cmd *exec.Cmd, ended <-chan struct{}) error {
	cmd.Process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(endTime):
		cmd.Process.Kill()
		<-ended
	}
	return removeContainers()
}

// tail returns the last lines of a log.
func tail(log *os.File) []byte {
	const size = 4 << 10
	stat, err := log.Stat()
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.NewSectionReader(log, max(0, stat.Size()-size), size))
	return text
}
