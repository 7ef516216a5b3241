// Package lambdahttp is the door between API Gateway and net/http: it turns an
// event into an *http.Request, hands it to an http.Handler, and turns the
// answer back into what API Gateway expects from a function. Payload format
// 2.0 (HTTP APIs) and 1.0 (REST APIs, and HTTP APIs that ask for it) are
// understood.
//
// A function can also be called itself, by a state machine, a pipe or another
// function: see direct.go. The envelope alone tells such a call from an event.
//
// Behind this door nothing knows that it runs in Lambda, so the same handler
// serves a developer's machine.
package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"overplane.dev/leads/pkg/api"
)

// Start serves h to the Lambda runtime, as [New] has it. It does not return.
//
// Before the first event it sends h a request of nobody's (see prime.go).
func Start(h http.Handler, direct ...api.Route) {
	f := New(h, direct...)
	for _, route := range direct {
		prime(f, route)
	}
	lambda.Start(f)
}

// New returns the Lambda function that answers API Gateway events with h, and
// direct calls with the route given, if one is.
//
// The answer to an event is always one of HTTP: an error is for the Lambda
// console, not for a client, and only for an event that API Gateway did not
// make. The error of a direct call is its answer.
func New(h http.Handler, direct ...api.Route) lambda.Handler {
	return function{h, direct}
}

type function struct {
	handler http.Handler
	direct  []api.Route // one or none
}

// Invoke is called by the Lambda runtime with one event at a time.
func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e, err := parse(payload)
	if err != nil {
		return nil, fmt.Errorf("the event is not an API Gateway event: %w", err)
	}
	// Not the event's own id: sam local repeats it, and Lambda's is the one
	// that the platform's log lines have.
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = api.WithRequestID(ctx, lc.AwsRequestID)
	}
	if e.direct && len(f.direct) > 0 {
		return f.call(ctx, payload, f.direct[0])
	}
	r, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	var w response
	f.handler.ServeHTTP(&w, r)
	return w.encode(e.version, r.Method), nil
}

// errNotHTTP names the only events that this door lets in.
var errNotHTTP = errors.New("the event is not an API Gateway event of payload format 1.0 or 2.0: " +
	"connect this function to an HTTP API or a REST API as a Lambda proxy integration, " +
	"or call it with the members account and mode")
