// The function ingest-leads makes leads of what other AWS services send: SQS
// messages, EventBridge events, SNS notifications, files in S3, and calls with
// many leads.
package main

import (
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ingester, err := ingest.Open(dynamo.Open(), log)
	if err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
	lambda.Start(ingester)
}
