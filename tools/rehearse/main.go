// Command rehearse deploys the product on an emulator of AWS on this machine:
// the real "sam deploy" with execution roles enforced, the first key as
// docs/operations.md makes it, the contract's scripts against the deployed
// stack, every kind of event with what comes of it, an update with the data
// kept, and "sam delete". It needs no account and no Docker. "make rehearse"
// calls it; with -events, "make demo-events" has it do just what the events
// need.
//
// What the emulator (ministack) cannot take is left out here, aloud:
//
//   - It drops the routes of an HTTP API that stand in the API's Body, where
//     SAM writes them: routes.py makes them from the deployed template.
//   - It has no CodeDeploy: the rehearsal is of the dev stage, without canary.
//   - What it does otherwise than the contract says is in contract.KnownDeviations.
//   - It asks for a right of its own where SQS takes several messages at once:
//     see allowBatches.
//   - Throttling, payload limits, domains, alarms and metrics do not exist in
//     it: template.yaml's other checks stand for them ("make template").
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/tools/internal/python"
	"overplane.dev/leads/tools/internal/rehearsal"
)

const stack = "leads-rehearsal"

// routesScript makes the routes that the emulator drops.
//
//go:embed routes.py
var routesScript string

func main() {
	events := flag.Bool("events", false, "only deploy the stack and send every kind of event")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rehearse(ctx, *events); err != nil {
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		os.Exit(1)
	}
	fmt.Println("The rehearsal went well.")
}

// rehearsed is what a rehearsal has come to.
type rehearsed struct {
	sam   string   // folder of SAM CLI
	env   []string // of every command: the emulator instead of AWS
	cloud string   // the emulator's address

	outputs map[string]string // of the stack
	url     string            // of the API
	key     string            // the first
	lead    string            // the path of a lead made with it
	etag    string            // of that lead
}

func rehearse(ctx context.Context, eventsAlone bool) error {
	sam, err := python.SAM.Dir(ctx, os.Stderr)
	if err != nil {
		return err
	}
	cloud, stop, err := startCloud(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer rehearsal.Withdraw()
	r := &rehearsed{sam: sam, cloud: cloud, env: slices.Concat(environment(), rehearsal.Environment(cloud), []string{"SAM_CLI_TELEMETRY=0"})}
	for _, step := range []struct {
		name     string
		do       func(context.Context) error
		isEvents bool // needed for the events alone too
	}{
		{"Build the functions", r.build, true},
		{"Deploy", r.firstDeployment, true},
		{"Make the first key, and a lead with it", r.makeLead, false},
		{"Play the contract's scripts", r.playScripts, false},
		{"Send every kind of event", r.playEvents, true},
		{"Update the stack", r.update, false},
		{"Delete the stack", r.delete, false},
	} {
		if eventsAlone && !step.isEvents {
			continue
		}
		fmt.Printf("== %s\n", step.name)
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *rehearsed) build(ctx context.Context) error {
	if err := r.run(ctx, "sam", "build", "--parameter-overrides", "Architecture="+architecture()); err != nil {
		return err
	}
	return allowBatches()
}

func (r *rehearsed) firstDeployment(ctx context.Context) error { return r.deploy(ctx) }

// deploy deploys the dev stage with these parameters besides.
func (r *rehearsed) deploy(ctx context.Context, parameters ...string) error {
	args := []string{
		"deploy", "--stack-name", stack, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND",
		"--no-confirm-changeset", "--no-progressbar",
		"--parameter-overrides", "Stage=dev", "Architecture=" + architecture(),
	}
	if err := r.run(ctx, "sam", append(args, parameters...)...); err != nil {
		return err
	}
	output, err := r.output(ctx, r.program("sam"), "list", "stack-outputs", "--stack-name", stack, "--output", "json")
	if err != nil {
		return err
	}
	var outputs []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal(output, &outputs); err != nil {
		return err
	}
	r.outputs = map[string]string{}
	for _, o := range outputs {
		r.outputs[o.OutputKey] = o.OutputValue
	}
	if err := rehearsal.Announce(r.cloud, output); err != nil {
		return err
	}
	api, err := r.output(ctx, r.program("python"), "-c", routesScript, stack)
	if err != nil {
		return err
	}
	r.url = fmt.Sprintf("%s/_aws/execute-api/%s/$default", r.cloud, bytes.TrimSpace(api))
	return nil
}

// makeLead makes the first key with the command that the stack's output gives,
// and a lead with that key.
func (r *rehearsed) makeLead(ctx context.Context) error {
	command := strings.Replace(r.outputs["FirstKey"], "NAME", "rehearsal", 1)
	command += " -data .aws-sam" // no engine is there, where .leads can have one
	key, err := r.output(ctx, "sh", "-c", command)
	if err != nil {
		return err
	}
	r.key = string(bytes.TrimSpace(key))
	res, err := r.call(ctx, http.MethodPost, "/api/crm/lead", `{"lead_name":"Ada Lovelace"}`)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("the first lead is answered with %s", res.Status)
	}
	r.lead, r.etag = res.Header.Get("Location"), res.Header.Get("ETag")
	return nil
}

// checkLead checks that the lead is there, as it was made.
func (r *rehearsed) checkLead(ctx context.Context) error {
	res, err := r.call(ctx, http.MethodGet, r.lead, "")
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("ETag") != r.etag {
		return fmt.Errorf("the lead made before is answered with %s and the tag %s, want 200 and %s",
			res.Status, res.Header.Get("ETag"), r.etag)
	}
	return nil
}

func (r *rehearsed) call(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res, err
}

// playScripts plays the contract against the deployed stack.
func (r *rehearsed) playScripts(ctx context.Context) error {
	keys, err := contract.CreateKeys(ctx, r.table())
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "-C", "test/contract", "test", "-count=1", "-run", "TestScripts$")
	cmd.Env = append(environment(), "LEADS_URL="+r.url, "LEADS_DEVIATIONS=ministack")
	for name, key := range keys {
		cmd.Env = append(cmd.Env, contract.KeyVariable(name)+"="+key)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// table is the stack's, with this process's own rights.
func (r *rehearsed) table() *dynamo.Table {
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &r.cloud,
		Region:       rehearsal.Region,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, dynamo.Configure)
	return dynamo.New(client, r.outputs["TableName"])
}

// update deploys again with another setting of every function.
func (r *rehearsed) update(ctx context.Context) error {
	table := r.outputs["TableName"]
	if err := r.deploy(ctx, "ReservedConcurrency=50"); err != nil {
		return err
	}
	if r.outputs["TableName"] != table {
		return fmt.Errorf("the update made another table: %s, it was %s", r.outputs["TableName"], table)
	}
	return r.checkLead(ctx)
}

func (r *rehearsed) delete(ctx context.Context) error {
	if err := r.run(ctx, "sam", "delete", "--stack-name", stack, "--no-prompts"); err != nil {
		return err
	}
	if output, err := r.output(ctx, r.program("sam"), "list", "stack-outputs", "--stack-name", stack); err == nil {
		return fmt.Errorf("the stack is still there:\n%s", output)
	}
	return nil
}

// program returns the path of a command that came with SAM CLI.
func (r *rehearsed) program(name string) string { return filepath.Join(r.sam, "bin", name) }

// run runs a command of SAM CLI and shows what it says only if it fails.
func (r *rehearsed) run(ctx context.Context, name string, args ...string) error {
	_, err := r.output(ctx, r.program(name), args...)
	return err
}

// output returns what a command prints.
func (r *rehearsed) output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var output, both bytes.Buffer
	cmd.Env = r.env
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&output, &both), &both
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s failed (%w):\n%s", filepath.Base(name), args[0], err, both.Bytes())
	}
	return output.Bytes(), nil
}

// architecture is this machine's, in Lambda's words: the emulator runs the
// functions as processes.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}
