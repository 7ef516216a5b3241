// The function publish-changes tells an EventBridge bus of every change of a
// lead, from the table's stream.
package main

import (
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/publish"
)

func main() {
	lambda.Start(publish.Open(slog.New(slog.NewJSONHandler(os.Stdout, nil))))
}
