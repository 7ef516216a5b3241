// Package releasecheck checks new versions of the functions before they get
// requests. It is the code of the function check-release, which CodeDeploy calls
// before it shifts traffic.
//
// The check creates a lead of the account [Account] in test mode by a direct call,
// retrieves it, waits until it is in the list, and deletes it.
package releasecheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"overplane.dev/leads/pkg/awsenv"
)

// Account is the account of the leads that the check creates. Use it for nothing
// else.
const Account = "release-check"

const (
	// checkTimeout leaves time to report the result: the function has 60 seconds.
	checkTimeout = 40 * time.Second

	// listInterval is the time between two lists. DynamoDB updates the index of
	// the list a moment after the lead.
	listInterval = 500 * time.Millisecond
)

// Checker checks the versions of the functions that these environment variables
// name: CREATE_LEAD, RETRIEVE_LEAD, LIST_LEADS and DELETE_LEAD.
type Checker struct {
	lambda *lambda.Client
	deploy *codedeploy.Client
	log    *slog.Logger
}

// Open returns a Checker with the settings of [awsenv.Config].
func Open(log *slog.Logger) *Checker {
	return &Checker{
		lambda: lambda.NewFromConfig(awsenv.Config("LAMBDA")),
		deploy: codedeploy.NewFromConfig(awsenv.Config("CODEDEPLOY")),
		log:    log,
	}
}

// Event is what CodeDeploy sends, see
// https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html.
type Event struct {
	DeploymentID string `json:"DeploymentId"`
	ExecutionID  string `json:"LifecycleEventHookExecutionId"`
}

// Handle runs the check and reports the result to CodeDeploy. Without a
// deployment it returns the result as its own.
func (c *Checker) Handle(ctx context.Context, e Event) error {
	checkErr := c.check(ctx)
	status := types.LifecycleEventStatusSucceeded
	if checkErr != nil {
		status = types.LifecycleEventStatusFailed
		c.log.ErrorContext(ctx, "the release does not work", "error", checkErr.Error())
	}
	if e.DeploymentID == "" {
		return checkErr
	}
	_, err := c.deploy.PutLifecycleEventHookExecutionStatus(ctx, &codedeploy.PutLifecycleEventHookExecutionStatusInput{
		DeploymentId:                  &e.DeploymentID,
		LifecycleEventHookExecutionId: &e.ExecutionID,
		Status:                        status,
	})
	return err
}

// request is a direct call of an API function.
type request struct {
	Account string         `json:"account"`
	Mode    string         `json:"mode"`
	ID      string         `json:"id,omitempty"`
	Lead    map[string]any `json:"lead,omitempty"`
	Limit   int            `json:"limit,omitempty"`
}

type createdLead struct {
	ID   string `json:"id"`
	Name string `json:"lead_name"`
}

func (c *Checker) check(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	const name = "Release check"
	var created, retrieved createdLead
	if err := c.call(ctx, "CREATE_LEAD", request{Lead: map[string]any{"lead_name": name}}, &created); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, c.call(ctx, "DELETE_LEAD", request{ID: created.ID}, nil))
	}()
	if err := c.call(ctx, "RETRIEVE_LEAD", request{ID: created.ID}, &retrieved); err != nil {
		return err
	}
	if retrieved != (createdLead{created.ID, name}) {
		return fmt.Errorf("the created lead was retrieved as %+v", retrieved)
	}
	return c.waitForList(ctx, created.ID)
}

// waitForList lists leads until the list contains the lead.
func (c *Checker) waitForList(ctx context.Context, id string) error {
	for {
		var page struct {
			Leads []createdLead `json:"data"`
		}
		if err := c.call(ctx, "LIST_LEADS", request{Limit: 100}, &page); err != nil {
			return err
		}
		for _, l := range page.Leads {
			if l.ID == id {
				return nil
			}
		}
		select {
		case <-time.After(listInterval):
		case <-ctx.Done():
			return errors.New("the created lead is not in the list")
		}
	}
}

// call invokes the version that the environment variable names and decodes its
// answer, unless answer is nil.
func (c *Checker) call(ctx context.Context, variable string, r request, answer any) error {
	r.Account, r.Mode = Account, "test"
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	function := os.Getenv(variable)
	out, err := c.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", function, err)
	case out.FunctionError != nil:
		return fmt.Errorf("%s: %s: %s", function, aws.ToString(out.FunctionError), out.Payload)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(out.Payload, answer); err != nil {
		return fmt.Errorf("%s answered %s: %w", function, out.Payload, err)
	}
	return nil
}
