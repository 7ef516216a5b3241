// The function publish-changes publishes every change of a lead, which it gets
// from the table's stream, on an EventBridge bus.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/publish"
)

func main() {
	publisher := publish.Open(awsenv.NewLog())
	publisher.WarmUp(context.Background())
	lambda.Start(publisher)
}
