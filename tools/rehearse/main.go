// Command rehearse deploys the product on an emulator of AWS on this machine:
// the real "sam deploy" with execution roles enforced, the first key as
// docs/operations.md makes it, the contract's scripts against the deployed
// stack, an update with the data kept, and "sam delete". It needs no account
// and no Docker. "make rehearse" calls it.
//
// What the emulator (ministack) cannot take is left out here, aloud:
//
//   - It drops the routes of an HTTP API that stand in the API's Body, where
//     SAM writes them: routes.py makes them from the deployed template.
//   - It has no CodeDeploy: the rehearsal is of the dev stage, without canary.
//   - What it does otherwise than the contract says is in contract.Untruths.
//   - Throttling, payload limits, domains, alarms and metrics do not exist in
//     it: template.yaml's other checks stand for them ("make template").
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/contract"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/tools/internal/python"
)

const (
	stack  = "leads-rehearsal"
	region = "eu-west-1"
)

// routesScript makes the routes that the emulator drops.
//
//go:embed routes.py
var routesScript string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rehearse(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		os.Exit(1)
	}
	fmt.Println("The rehearsal went well.")
}

// A rehearsal is the state of one.
type rehearsal struct {
	sam     string   // folder of SAM CLI
	env     []string // of every command: the emulator instead of AWS
	cloud   string   // the emulator's address
	outputs map[string]string
	url     string // of the API
}

func rehearse(ctx context.Context) (err error) {
	sam, err := python.SAM.Dir(ctx, os.Stderr)
	if err != nil {
		return err
	}
	cloud, stop, err := startCloud(ctx)
	if err != nil {
		return err
	}
	defer stop()
	r := &rehearsal{sam: sam, cloud: cloud, env: append(environment(),
		"AWS_ENDPOINT_URL="+cloud, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "SAM_CLI_TELEMETRY=0",
	)}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"Build the functions", r.build},
		{"Deploy", func(ctx context.Context) error { return r.deploy(ctx) }},
		{"Make the first key and keep a lead", r.keepLead},
		{"Play the contract's scripts", r.playScripts},
		{"Update the stack, with its data kept", r.update},
		{"Delete the stack", r.delete},
	} {
		fmt.Printf("\n== %s\n", step.name)
		start := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(step.name), err)
		}
		fmt.Printf("   done in %.1f s\n", time.Since(start).Seconds())
	}
	return nil
}
