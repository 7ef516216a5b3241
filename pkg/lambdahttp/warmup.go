package lambdahttp

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

// patience bounds what prime adds to a start where the database does not answer.
// Lambda itself waits 10 seconds for one.
const patience = time.Second

// prime sends the function a request for its route with an API key that is not
// stored. Its answer is a 401 after one read of the table. What it leaves is the
// connection to the database and the code in memory: during a start Lambda gives
// a function a whole processor, and afterwards, with 128 MB, a fourteenth.
//
// A failure is not told: the first request finds out by itself.
func prime(f lambda.Handler, route api.Route) {
	ctx, cancel := context.WithTimeout(api.Priming(context.Background()), patience)
	defer cancel()
	unknown, _ := apikey.NewKey(lead.Tenant{Mode: lead.Test}, 0, time.Now(), time.Time{})
	path := strings.Replace(route.Path, "{id}", "nothing", 1)
	_, _ = f.Invoke(ctx, fmt.Appendf(nil,
		`{"version":"2.0","rawPath":%q,"headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":%q}}}`,
		path, unknown, route.Method))
}
