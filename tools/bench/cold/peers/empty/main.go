// Command empty is a function that does nothing: what it takes to start is the
// least that a Go function takes, and what the others are compared with.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

type nothing struct{}

// Invoke implements lambda.Handler.
func (nothing) Invoke(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil }

func main() { lambda.Start(nothing{}) }
