// The function audit-leads counts the leads of one account again, once an hour.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/audit"
	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/dynamo"
)

func main() {
	table := dynamo.Open()
	table.WarmUp(context.Background())
	auditor := &audit.Auditor{
		Table:     table,
		Log:       awsenv.NewLog(),
		Metrics:   os.Stdout,
		Namespace: os.Getenv("LEADS_NAMESPACE"),
	}
	lambda.Start(func(ctx context.Context, e events.EventBridgeEvent) error { return auditor.Run(ctx, e.Time) })
}
