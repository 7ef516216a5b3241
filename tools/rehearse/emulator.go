package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/tools/internal/process"
	"overplane.dev/leads/tools/internal/samcli"
)

const stackName = "leads-dev"

// emulator is a running emulator of AWS, and a copy of the repository whose
// template is adapted to it. The emulator keeps nothing on the disk.
type emulator struct {
	url    string
	server *process.Server
	env    []string // of commands that use the emulator
	dir    string   // the copy of the repository, where commands run
}

func startEmulator(ctx context.Context) (*emulator, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(workDir, "copy"))
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(address, ":")
	e := &emulator{url: "http://" + address, dir: dir}
	if err := errors.Join(e.copyRepository(), e.checkOutRelease()); err != nil {
		return nil, err
	}
	e.env = append(samcli.Env(), "AWS_ENDPOINT_URL="+e.url, "LEADS_DEVIATIONS=ministack",
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	temporary := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command("tools/pytool", "ministack", "ministack")
	cmd.Env = append(e.env, // functions get AWS_ENDPOINT_URL too
		"TMPDIR="+temporary,     // for the code of the functions
		"AUTH=true",             // enforce execution roles
		"LAMBDA_EXECUTOR=local", // run functions as processes of this machine
		"BIND_HOST="+host, "GATEWAY_PORT="+port, "IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0")
	// The first start installs the emulator.
	e.server, err = process.Start(ctx, cmd, e.url+"/_ministack/health", filepath.Join(workDir, "emulator.log"), 5*time.Minute)
	return e, err
}

func (e *emulator) stop() { e.server.Stop(syscall.SIGTERM) }

// copyRepository copies the files of the repository that Git knows or would add,
// adapts the template, and adds the commands sam and aws in the folder bin.
// Commands of the copy build into the copy, so that .aws-sam/build, which a real
// deployment uses, stays as it is.
func (e *emulator) copyRepository() error {
	if err := os.RemoveAll(workDir); err != nil {
		return err
	}
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		info, err := os.Stat(name)
		if os.IsNotExist(err) { // deleted, but not yet in a commit
			continue
		}
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if name == "template.yaml" {
			content = adaptTemplate(content)
		}
		if err := writeFile(filepath.Join(e.dir, name), content, info.Mode()); err != nil {
			return err
		}
	}
	for _, tool := range []string{"sam", "aws"} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s/tools/pytool %s %s \"$@\"\n", e.dir, tool, tool)
		if err := writeFile(filepath.Join(e.dir, "bin", tool), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// checkOutRelease makes a copy of the release before next to dir: of the commit that
// last changed test/versions/release.txt.
func (e *emulator) checkOutRelease() error {
	dir := filepath.Join(filepath.Dir(e.dir), "before")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	script := `git archive "$(git log -1 --format=%H -- test/versions/release.txt)" | tar -x -C "$0"`
	if _, err := samcli.Output(exec.Command("bash", "-o", "pipefail", "-c", script, dir)); err != nil {
		return err
	}
	name := filepath.Join(dir, "template.yaml")
	template, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, adaptTemplate(template), 0o644)
}

func writeFile(name string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, mode)
}

var (
	// unsupported matches the resources that the emulator does not support, also
	// those of the release before:
	// alarms with metric math, and the policy that refuses HTTP, which is the
	// only protocol of the emulator.
	unsupported = regexp.MustCompile(`(?m)^  (ServerErrorAlarm|ApiErrorAlarm|DatabaseThrottleAlarm|FailedEventAlarm|ImportBucketTLS):\n(    .*\n)+`)

	// sendMessage matches a right. When a function sends several messages at
	// once, the emulator asks for sqs:SendMessageBatch, and AWS for sqs:SendMessage.
	sendMessage = regexp.MustCompile(`sqs:SendMessage\b`)

	// codeDeploy matches the stages for which CodeDeploy shifts traffic. The
	// emulator has no CodeDeploy.
	codeDeploy = regexp.MustCompile(`(Canary10Percent5Minutes|Linear10PercentEvery1Minute): true`)
)

// adaptTemplate changes what the emulator does not support, and builds for the
// processor of this machine.
func adaptTemplate(text []byte) []byte {
	text = unsupported.ReplaceAll(text, nil)
	text = sendMessage.ReplaceAll(text, []byte("sqs:SendMessage*"))
	text = codeDeploy.ReplaceAll(text, []byte("$1: false"))
	return bytes.ReplaceAll(text, []byte("Default: arm64"), []byte("Default: "+samcli.Architecture()))
}

// createRoutes makes the routes of a stack that the emulator ignores, and returns
// the address of the API.
func (e *emulator) createRoutes(ctx context.Context, stack string) (url string, err error) {
	id, err := e.output(ctx, "tools/pytool", "sam", "python", "tools/rehearse/routes.py", stack)
	// With %24 for $, so that no shell takes it for a variable.
	return fmt.Sprintf("%s/_aws/execute-api/%s/%%24default", e.url, bytes.TrimSpace(id)), err
}

// output runs a command in the copy and returns its standard output.
func (e *emulator) output(ctx context.Context, name string, args ...string) ([]byte, error) {
	if path := filepath.Join(e.dir, "bin", name); !strings.Contains(name, "/") {
		name = path
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = e.env, e.dir
	return samcli.Output(cmd)
}
