// Package gateway is the door between API Gateway and net/http: it turns an
// event into an *http.Request, hands it to an http.Handler, and turns the
// answer back into what API Gateway expects from a function. Payload format
// 2.0 (HTTP APIs) and 1.0 (REST APIs, and HTTP APIs that ask for it) are
// understood.
//
// Behind this door nothing knows that it runs in Lambda, so the same handler
// serves a developer's machine.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
)

// Start serves h to the Lambda runtime. It does not return.
func Start(h http.Handler) {
	lambda.Start(New(h))
}

// New returns the Lambda function that answers API Gateway events with h.
//
// Its error is for the Lambda console, not for a client: it is returned only
// for an event that API Gateway did not make.
func New(h http.Handler) lambda.Handler {
	return function{h}
}

type function struct{ handler http.Handler }

// Invoke is called by the Lambda runtime with one event at a time.
func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	// Half a character must not fail the whole event, which the client would
	// see as a 500: it is refused where it stands (see event.body).
	if err := json.Unmarshal(payload, &e, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("the event is not an API Gateway event: %w", err)
	}
	// Not the event's own id: sam local repeats it, and Lambda's is the one
	// that the platform's log lines have.
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = api.WithRequestID(ctx, lc.AwsRequestID)
	}
	r, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	var w response
	f.handler.ServeHTTP(&w, r)
	return w.encode(e.Version, r.Method)
}

// errNotHTTP names the only events that this door lets in.
var errNotHTTP = errors.New("the event is not an API Gateway event of payload format 1.0 or 2.0: " +
	"connect this function to an HTTP API or a REST API as a Lambda proxy integration")
