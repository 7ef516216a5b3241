// Package lambdahttp runs an http.Handler as a Lambda function behind API Gateway.
// It converts each event to an *http.Request and the handler's answer to the
// function's result, so that the same handler runs in Lambda and in any other
// HTTP server. It understands payload format 2.0 (HTTP APIs) and 1.0 (REST APIs,
// and HTTP APIs that are configured to use it).
//
// A function can also be called directly, without API Gateway: see direct.go.
package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
)

// Start sends the function of [New] a warm-up request for each route, and then
// runs it in the Lambda runtime. It does not return.
func Start(h http.Handler, direct ...api.Route) {
	f := New(h, direct...)
	for _, route := range direct {
		warmUp(f, route)
	}
	lambda.Start(f)
}

// New returns the Lambda function that answers API Gateway events with h. If a
// route is given, at most one, the function also answers direct calls of it.
//
// The answer to an API Gateway event is always an HTTP response. Invoke returns
// an error only for an event that is neither one of API Gateway nor a direct call,
// and for a direct call that failed.
func New(h http.Handler, direct ...api.Route) lambda.Handler {
	return function{h, direct}
}

type function struct {
	handler http.Handler
	direct  []api.Route // one or none
}

// Invoke answers one event.
func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	members, err := parseMembers(payload)
	if err != nil {
		return nil, fmt.Errorf("the event is not an API Gateway event: %w", err)
	}
	// Not the request id of API Gateway: sam local repeats it, and Lambda's own
	// log lines have this one.
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = api.WithRequestID(ctx, lc.AwsRequestID)
	}
	// A client of API Gateway cannot add members to the event.
	if len(f.direct) > 0 && (members["account"] != nil || members["mode"] != nil) {
		return f.callDirectly(ctx, members, f.direct[0])
	}
	e, err := parseEvent(payload, members)
	if err != nil {
		return nil, err
	}
	var w response
	f.handler.ServeHTTP(&w, e.request(ctx))
	return w.encode(e)
}

// parseMembers returns the members of an event without decoding them. It refuses
// names that occur twice, which encoding/json would accept.
func parseMembers(payload []byte) (members map[string]jsontext.Value, err error) {
	if err := json.Unmarshal(payload, &members); err != nil {
		return nil, err
	}
	if !jsontext.Value(payload).IsValid(jsontext.AllowInvalidUTF8(true)) {
		return nil, errors.New("a name occurs twice in one object")
	}
	return members, nil
}
