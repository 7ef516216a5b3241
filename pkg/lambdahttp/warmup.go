package lambdahttp

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
)

// warmUpTime limits how long a warm-up request delays the start of a function.
// Lambda allows 10 seconds for the whole start.
const warmUpTime = time.Second

// warmUp sends the function a request for the route with an API key that is not
// stored. The function answers it with 401, after one read of the table, which
// checks the format of the table (see package dynamo). Then the connection to the
// database is open and the code is in memory. Lambda gives a function a whole
// processor during its start; afterwards, with 128 MB of memory, it gives one
// fourteenth.
//
// Errors are ignored, because the first request will report them.
func warmUp(f lambda.Handler, route api.Route) {
	ctx, cancel := context.WithTimeout(api.WithoutLog(context.Background()), warmUpTime)
	defer cancel()
	path := strings.Replace(route.Path, "{id}", "warm-up", 1)
	_, _ = f.Invoke(ctx, fmt.Appendf(nil,
		`{"version":"2.0","rawPath":%q,"headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":%q}}}`,
		path, apikey.WarmUpKey(), route.Method))
}
