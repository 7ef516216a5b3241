package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// patience bounds what a database that does not answer adds to a start. Lambda
// itself waits 10 seconds for one.
const patience = time.Second

// prime sends the function a request for its route with an API key that was
// never made. Its answer is a 401 after one read of the table, and nobody gets
// it. What it leaves is the connection to the database, and the code of the way
// there and back in memory: during a start Lambda gives a function a whole
// processor, and afterwards, with 128 MB, a fourteenth.
//
// A failure is not told: the first request finds out by itself.
func prime(f lambda.Handler, route api.Route) {
	ctx, cancel := context.WithTimeout(api.WithoutLog(context.Background()), patience)
	defer cancel()
	nobody := lead.Tenant{Account: "nobody", Mode: lead.Test}
	key, _ := apikey.Mint(nobody, 0, time.Now(), time.Time{})
	path := strings.Replace(route.Path, "{id}", "nothing", 1)
	_, _ = f.Invoke(ctx, fmt.Appendf(nil,
		`{"version":"2.0","rawPath":%q,"headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":%q}}}`,
		path, key, route.Method))
}
