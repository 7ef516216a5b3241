// Package samcli runs the SAM CLI that tools/pytool installs. Its commands get
// made-up credentials, so that they cannot reach an AWS account.
package samcli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Region is the region that commands are given.
const Region = "eu-west-1"

// Env returns the environment of this process with made-up credentials. It
// leaves out all variables that name an AWS account or a database.
func Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "LEADS_") || strings.HasPrefix(v, "DYNAMODB_ENDPOINT=")
	})
	return append(env, "SAM_CLI_TELEMETRY=0", "AWS_REGION="+Region, "AWS_DEFAULT_REGION="+Region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
}

// Architecture returns this machine's processor as AWS names it. Local runs
// need functions that are built for it.
func Architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// Build builds the functions for this machine into the folder dir/build. It
// does not touch .aws-sam/build, which "sam deploy" deploys. Build returns the
// path of the built template.
func Build(ctx context.Context, dir string) (template string, err error) {
	build := filepath.Join(dir, "build")
	cmd := exec.CommandContext(ctx, "tools/pytool", "sam", "sam", "build", "--build-dir", build, "--parameter-overrides", "Architecture="+Architecture())
	cmd.Env = Env()
	_, err = Output(cmd)
	return filepath.Join(build, "template.yaml"), err
}

// Output runs cmd and returns its standard output. An error contains all its output.
func Output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", cmd, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
