// The function ingest-leads creates leads from SQS messages, EventBridge events,
// SNS notifications, files in S3, and direct calls with many leads.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
)

func main() {
	log := awsenv.NewLog()
	table := dynamo.Open()
	ingester, err := ingest.Open(table, log)
	if err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
	table.WarmUp(context.Background())
	// The account need not have an API key, and audits must find it.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	if err := table.AddTenant(ctx, ingester.Tenant); err != nil {
		log.Warn("audits of all accounts may leave out the account of events", "error", err.Error())
	}
	cancel()
	lambda.Start(ingester)
}
