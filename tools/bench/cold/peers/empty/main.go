// Command empty is a function that does nothing. Its start takes the least time
// that a Go function needs.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

type handler struct{}

// Invoke implements lambda.Handler.
func (handler) Invoke(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil }

func main() { lambda.Start(handler{}) }
