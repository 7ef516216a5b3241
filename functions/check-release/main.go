// The function check-release checks new versions of the other functions. CodeDeploy
// calls it before it shifts traffic to them.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/releasecheck"
)

func main() {
	lambda.Start(releasecheck.Open(awsenv.NewLog()).Handle)
}
