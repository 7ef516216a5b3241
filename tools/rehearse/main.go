// Command rehearse runs every command of docs/operations.md, in its order, on an
// emulator of AWS on this machine: the real "sam deploy" with execution roles
// enforced, the first key, the contract scripts, import and export, a restored
// table, and "sam delete". After the contract scripts it also sends one event of
// each kind, with a consumer from examples/, and calls the function that checks a
// release. Before all this, a first deployment fails and is deleted, and the release
// before is deployed, upgraded and restored. It needs no AWS account and no Docker. "make rehearse" calls it.
//
// With -events it only deploys the stack and sends the events. "make
// demo-events" calls that. VERBOSE=1 shows what the commands print.
//
// The emulator (ministack) differs from AWS:
//
//   - It ignores the routes of an HTTP API that are in the API's Body, where
//     SAM writes them: routes.py makes them from the deployed template.
//   - It has no CodeDeploy, knows no metric math, and checks a right of SQS
//     differently: see adaptTemplate.
//   - The address of the API is another one: see replaceCommands.
//   - It answers some requests differently: see KnownDeviations in test/contract.
//   - It has no throttling, payload limits, domains, alarms and metrics, and
//     ignores stack policies. "make template" checks these parts of the template.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

const (
	document = "docs/operations.md"

	// workDir takes the copy of the repository and the log of the emulator.
	workDir = ".aws-sam/rehearsal"
)

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

func rehearse(ctx context.Context, eventsOnly bool) error {
	blocks, err := readBlocks(document)
	if err != nil {
		return err
	}
	e, err := startEmulator(ctx)
	if err != nil {
		return err
	}
	defer e.stop()
	r := &rehearsal{emulator: e, shell: shell{emulator: e, replace: strings.NewReplacer(replaceCommands...)}}
	if eventsOnly {
		if err := r.runBlock(ctx, block{commands: "make deploy STAGE=dev\n"}); err != nil {
			return err
		}
		return r.runScript(ctx, sendEvents)
	}
	fmt.Println("== A first deployment that fails, and its deletion")
	if _, err := r.shell.run(ctx, failedDeployment, "leads-prod\n"); err != nil {
		return err
	}
	for _, b := range slices.Concat(upgrade, blocks) {
		fmt.Printf("== %s\n%s", b.heading, b.commands)
		if b.skip != "" {
			fmt.Printf("NOT RUN: %s\n", b.skip)
			continue
		}
		if err := r.runBlock(ctx, b); err != nil {
			return err
		}
	}
	_, err = r.shell.run(ctx, "! aws cloudformation describe-stacks | grep StackName\n", "")
	return err
}

// failedDeployment deploys prod with a resource that fails after the bucket for
// imports exists, deletes the stack, and checks that no bucket is left.
const failedDeployment = `
sed 's/^Outputs:/  Handle: {Type: "AWS::CloudFormation::WaitConditionHandle"}\
  Fails: {Type: "AWS::CloudFormation::WaitCondition", DependsOn: ImportBucket, Properties: {Handle: !Ref Handle, Timeout: 1}}\
\
&/' template.yaml >broken.yaml
sam build --template broken.yaml
if sam deploy --config-env prod --no-confirm-changeset; then
  echo "the deployment succeeded"
  exit 1
fi
make teardown STAGE=prod
aws s3 ls
if aws s3 ls | grep importbucket; then exit 1; fi
`

// upgrade deploys the release before and writes, deploys this version and reads,
// deploys the release before again and reads, and deletes the stack.
var upgrade = []block{
	{"The release before", `
(cd ../before && make deploy STAGE=dev)
export LEADS_TABLE=$(make -s output STAGE=dev NAME=TableName)
key=$(cd ../before && go run ./cmd/leads keys create -account upgraded -mode test)
` + createLead, []string{`"lead_name":"Ada"`}, "", ""},
	{"An upgrade to this version", "make deploy STAGE=dev\n" + createLead + readLeads, wantLeads, "", ""},
	{"The release before again", "(cd ../before && make deploy STAGE=dev)\n" + createLead + readLeads + "make teardown STAGE=dev\n", wantLeads, "", ""},
}

// createLead creates a lead, or repeats that. readLeads reads it by its status, and
// counts again.
const (
	createLead = `curl -sS "$(make -s output STAGE=dev NAME=Url)/api/crm/lead" -H "Authorization: Bearer $key" -H "Idempotency-Key: once" -H "Content-Type: application/json" -d '{"lead_name":"Ada","status":"Open"}'` + "\n"
	readLeads  = `curl -sS "$(make -s output STAGE=dev NAME=Url)/api/crm/lead?status=Open" -H "Authorization: Bearer $key"
go run ./cmd/leads audit -account upgraded -mode test
`
)

var wantLeads = []string{`"lead_name":"Ada"`, `"total":1`, "Account upgraded has 1 leads in test mode, and all counts of them are right."}

// replaceCommands changes commands for the emulator, in pairs of old and new text.
var replaceCommands = []string{
	"$(make -s output STAGE=dev NAME=Url)", `"$url_of_emulator"`,
	"make smoke STAGE=dev", `make smoke STAGE=dev URL="$url_of_emulator"`,
	"aws sqs ", `aws --endpoint-url "$AWS_ENDPOINT_URL" sqs `, // which does not use the variable
	"make logs STAGE=prod", "timeout 20 make logs STAGE=prod || true", // follows the log until it is stopped
}

// rehearsal runs the blocks of the document.
type rehearsal struct {
	*emulator
	shell shell
}

var (
	deployment = regexp.MustCompile(`make deploy STAGE=(\w+)|sam deploy .*--stack-name ([\w-]+)`)
	teardown   = regexp.MustCompile(`make teardown STAGE=(\w+)`)
)

// runBlock runs a block, checks what it prints, and does what the emulator or the
// rehearsal needs after it.
func (r *rehearsal) runBlock(ctx context.Context, b block) error {
	for command := range strings.Lines(joinLines(b.commands)) {
		answers := "y\ny\n" // sam deploy asks whether to deploy the changes
		if m := teardown.FindStringSubmatch(command); m != nil {
			answers = "leads-" + m[1] + "\n"
		}
		output, err := r.shell.run(ctx, command, answers)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(command), err)
		}
		b.printed += output
		if m := deployment.FindStringSubmatch(command); m != nil {
			if err := r.finishDeployment(ctx, m[1], m[2]); err != nil {
				return err
			}
		}
	}
	if err := b.checkOutput(b.printed); err != nil {
		return fmt.Errorf("%w:\n%s", err, b.printed)
	}
	if strings.Contains(b.commands, "make smoke") {
		return errors.Join(r.runScript(ctx, checkRelease), r.runScript(ctx, sendEvents))
	}
	return nil
}

// joinLines joins lines that end with a backslash to the next.
func joinLines(commands string) string { return strings.ReplaceAll(commands, "\\\n", "") }

// finishDeployment makes the routes of a deployed stack.
func (r *rehearsal) finishDeployment(ctx context.Context, stage, stack string) error {
	if stage != "" {
		stack = "leads-" + stage
	}
	url, err := r.createRoutes(ctx, stack)
	if stack == stackName {
		r.env = append(r.env, "url_of_emulator="+url)
	}
	return err
}

// checkRelease checks the stack policy that make deploy sets, and calls the function
// that checks a release, as CodeDeploy would.
const checkRelease = `
aws cloudformation get-stack-policy --stack-name leads-dev --output text | grep LogicalResourceId/Table
name=$(aws cloudformation describe-stack-resource --stack-name leads-dev --logical-resource-id CheckRelease \
  --query StackResourceDetail.PhysicalResourceId --output text)
aws lambda invoke --function-name "$name" --payload '{}' answer.json
if grep error answer.json; then exit 1; fi
rm answer.json
`

// sendEvents is the script that sends one event of each kind.
//
//go:embed events.sh
var sendEvents string

// runScript runs a script and prints what it prints.
func (r *rehearsal) runScript(ctx context.Context, script string) error {
	output, err := r.shell.run(ctx, script, "")
	fmt.Print(output)
	return err
}
