// Command rehearse deploys the product on an emulator of AWS on this machine:
// the real "sam deploy" with execution roles enforced, the first key as
// docs/operations.md makes it, the contract scripts, one event of each kind
// with a consumer from examples/, an update that keeps the data, and "sam
// delete". It needs no AWS account and no Docker. "make rehearse" calls it.
//
// With -events it only deploys the stack and sends the events. "make
// demo-events" calls that.
//
// The emulator (ministack) differs from AWS:
//
//   - It ignores the routes of an HTTP API that are in the API's Body, where
//     SAM writes them: routes.py makes them from the deployed template.
//   - It has no CodeDeploy: the rehearsal deploys the dev stage, without canary.
//   - It does not know metric math, and checks a right of SQS differently: see
//     adaptTemplate.
//   - It answers some requests differently: see contract.KnownDeviations.
//   - It has no throttling, payload limits, domains, alarms and metrics. "make
//     template" checks these parts of the template.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/tools/internal/samcli"
)

// workDir takes the build and the logs. .aws-sam/build, from which a real
// deployment is made, stays as it is.
const workDir = ".aws-sam/rehearsal"

func main() {
	eventsOnly := flag.Bool("events", false, "only deploy the stack and send one event of each kind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rehearse(ctx, *eventsOnly); err != nil {
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		os.Exit(1)
	}
	fmt.Println("The rehearsal succeeded.")
}

// rehearsal holds what one step leaves to later ones.
type rehearsal struct {
	*emulator
	key      string // the first API key
	leadPath string // of the lead that was made with it
	etag     string // of that lead
}

func rehearse(ctx context.Context, eventsOnly bool) error {
	e, err := startEmulator(ctx)
	if err != nil {
		return err
	}
	defer e.stop()
	r := &rehearsal{emulator: e}
	build := step{"Build the functions", r.build}
	deploy := step{"Deploy the stack", func(ctx context.Context) error { return r.deploy(ctx) }}
	events := step{"Send one event of each kind", r.sendEvents}
	steps := []step{
		build,
		deploy,
		{"Make the first key and a lead", r.createLead},
		{"Run the contract scripts", r.runScripts},
		events,
		{"Update the stack", r.update},
		{"Delete the stack", func(ctx context.Context) error { return r.deleteStack(ctx, stackName) }},
	}
	if eventsOnly {
		steps = []step{build, deploy, events}
	}
	for _, s := range steps {
		fmt.Printf("== %s\n", s.name)
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

type step struct {
	name string
	run  func(context.Context) error
}

// createLead makes the first key with the command that the stack outputs, and a
// lead with that key.
func (r *rehearsal) createLead(ctx context.Context) error {
	command := strings.Replace(r.outputs["FirstKey"], "NAME", "rehearsal", 1)
	// With a data directory where no local database runs.
	key, err := r.output(ctx, "sh", "-c", command+" -data "+workDir)
	if err != nil {
		return err
	}
	r.key = strings.TrimSpace(string(key))
	res, err := r.send(ctx, http.MethodPost, "/api/crm/lead", `{"lead_name":"Ada Lovelace"}`)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("the request to create a lead was answered with %s", res.Status)
	}
	r.leadPath, r.etag = res.Header.Get("Location"), res.Header.Get("ETag")
	return nil
}

// checkLead checks that the lead is unchanged.
func (r *rehearsal) checkLead(ctx context.Context) error {
	res, err := r.send(ctx, http.MethodGet, r.leadPath, "")
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("ETag") != r.etag {
		return fmt.Errorf("the request for the lead was answered with %s and ETag %s, want 200 and %s", res.Status, res.Header.Get("ETag"), r.etag)
	}
	return nil
}

func (r *rehearsal) send(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.apiURL+path, strings.NewReader(body))
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

func (r *rehearsal) runScripts(ctx context.Context) error {
	keys, err := contract.CreateKeys(ctx, r.table())
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "-C", "test/contract", "test", "-count=1", "-run", "TestScripts$")
	cmd.Env = append(samcli.Env(), "LEADS_URL="+r.apiURL, "LEADS_DEVIATIONS=ministack")
	for name, key := range keys {
		cmd.Env = append(cmd.Env, contract.KeyVariable(name)+"="+key)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// sendEvents deploys an example of a consumer and sends events.
func (r *rehearsal) sendEvents(ctx context.Context) error {
	consumer, err := r.deployStack(ctx, consumerName, "examples/rule-to-queue.yaml",
		"BusName="+r.outputs["BusName"], "Account="+eventTenant.Account, "Mode="+string(eventTenant.Mode))
	if err != nil {
		return err
	}
	s := newStack(r.config(), r.outputs, consumer["QueueUrl"])
	if err := sendEvents(ctx, s, r.table()); err != nil {
		return err
	}
	if err := s.emptyBucket(ctx); err != nil {
		return err
	}
	return r.deleteStack(ctx, consumerName)
}

// table returns the table of the stack. It does not use the role of a function.
func (r *rehearsal) table() *dynamo.Table {
	return dynamo.New(dynamodb.NewFromConfig(r.config(), dynamo.Configure), r.outputs["TableName"])
}

// update changes a setting of each function and checks that the data is kept.
func (r *rehearsal) update(ctx context.Context) error {
	table := r.outputs["TableName"]
	if err := r.deploy(ctx, "ReservedConcurrency=50"); err != nil {
		return err
	}
	if r.outputs["TableName"] != table {
		return fmt.Errorf("the update replaced the table %s by %s", table, r.outputs["TableName"])
	}
	return r.checkLead(ctx)
}
