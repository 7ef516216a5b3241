package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"overplane.dev/leads/tools/internal/process"
	"overplane.dev/leads/tools/internal/samcli"
)

const (
	stackName    = "leads-rehearsal"
	consumerName = "leads-rehearsal-consumer"
)

// emulator is a running emulator of AWS with the stack. It keeps nothing on
// the disk.
type emulator struct {
	url    string
	server *process.Server
	env    []string // of commands that use the emulator

	template string            // path of the built template
	outputs  map[string]string // of the stack
	apiURL   string
}

func startEmulator(ctx context.Context) (*emulator, error) {
	if err := os.MkdirAll(workDir, 0o755); err != nil {
		return nil, err
	}
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(address, ":")
	e := &emulator{url: "http://" + address}
	e.env = append(samcli.Env(), "AWS_ENDPOINT_URL="+e.url)
	cmd := exec.Command("tools/pytool", "ministack", "ministack")
	cmd.Env = append(e.env, // functions get AWS_ENDPOINT_URL too
		"AUTH=true",             // enforce execution roles
		"LAMBDA_EXECUTOR=local", // run functions as processes of this machine
		"BIND_HOST="+host, "GATEWAY_PORT="+port, "IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0")
	// The first start installs the emulator.
	e.server, err = process.Start(ctx, cmd, e.url+"/_ministack/health", filepath.Join(workDir, "emulator.log"), 5*time.Minute)
	return e, err
}

func (e *emulator) stop() { e.server.Stop(syscall.SIGTERM) }

// config returns the settings of SDK clients for the emulator.
func (e *emulator) config() aws.Config {
	return aws.Config{Region: samcli.Region, BaseEndpoint: &e.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

func (e *emulator) build(ctx context.Context) (err error) {
	if e.template, err = samcli.Build(ctx, workDir); err != nil {
		return err
	}
	return adaptTemplate(e.template)
}

// unsupported matches the resources in a built template that the emulator does
// not support: alarms with metric math, and the policy that refuses HTTP, which
// is the only protocol of the emulator.
var unsupported = regexp.MustCompile(`(?m)^  (ServerErrorAlarm|ApiErrorAlarm|DatabaseThrottleAlarm|ImportBucketTLS):\n(    .*\n)+`)

// adaptTemplate changes what the emulator does not support in a built template.
// It asks for the right sqs:SendMessageBatch when a function sends several
// messages at once. AWS asks for sqs:SendMessage.
func adaptTemplate(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text = unsupported.ReplaceAll(text, nil)
	text = bytes.ReplaceAll(text, []byte("sqs:SendMessage\n"), []byte("sqs:SendMessage*\n"))
	return os.WriteFile(path, text, 0o644)
}

// deploy deploys the dev stage, with further parameters such as "Name=value".
func (e *emulator) deploy(ctx context.Context, parameters ...string) (err error) {
	parameters = append([]string{"Stage=dev", "Architecture=" + samcli.Architecture()}, parameters...)
	if e.outputs, err = e.deployStack(ctx, stackName, e.template, parameters...); err != nil {
		return err
	}
	id, err := e.output(ctx, "tools/pytool", "sam", "python", "tools/rehearse/routes.py", stackName)
	e.apiURL = fmt.Sprintf("%s/_aws/execute-api/%s/$default", e.url, bytes.TrimSpace(id))
	return err
}

func (e *emulator) deployStack(ctx context.Context, name, template string, parameters ...string) (outputs map[string]string, err error) {
	args := []string{
		"deploy", "--template-file", template, "--stack-name", name, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset", "--no-progressbar", "--parameter-overrides",
	}
	if _, err := e.sam(ctx, append(args, parameters...)...); err != nil {
		return nil, err
	}
	text, err := e.sam(ctx, "list", "stack-outputs", "--stack-name", name, "--output", "json")
	if err != nil {
		return nil, err
	}
	var list []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	outputs = map[string]string{}
	for _, o := range list {
		outputs[o.OutputKey] = o.OutputValue
	}
	return outputs, nil
}

// deleteStack deletes a stack and checks that it is gone.
func (e *emulator) deleteStack(ctx context.Context, name string) error {
	if _, err := e.sam(ctx, "delete", "--stack-name", name, "--no-prompts"); err != nil {
		return err
	}
	if _, err := e.sam(ctx, "list", "stack-outputs", "--stack-name", name); err == nil {
		return fmt.Errorf("the stack %s exists after sam delete", name)
	}
	return nil
}

func (e *emulator) sam(ctx context.Context, args ...string) ([]byte, error) {
	return e.output(ctx, "tools/pytool", append([]string{"sam", "sam"}, args...)...)
}

// output runs a command that uses the emulator and returns its standard output.
func (e *emulator) output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = e.env
	return samcli.Output(cmd)
}
