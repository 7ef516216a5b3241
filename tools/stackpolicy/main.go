// Command stackpolicy sets the stack policy of a stack: an update may neither
// replace nor delete the table, so that a wrong parameter cannot lose it. "make
// deploy" calls it:
//
//	go run ./tools/stackpolicy leads-prod
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

const policy = `{"Statement": [
  {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
  {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"], "Resource": "LogicalResourceId/Table"}
]}`

func main() {
	if err := setPolicy(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "stackpolicy:", err)
		os.Exit(1)
	}
}

func setPolicy(ctx context.Context, stack string) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	_, err = cloudformation.NewFromConfig(settings).SetStackPolicy(ctx, &cloudformation.SetStackPolicyInput{
		StackName:       &stack,
		StackPolicyBody: aws.String(policy),
	})
	return err
}
