// The function unmatched answers requests that match no route of the HTTP API:
// with 404, with 405, or with the allowed methods for OPTIONS. It uses no database.
package main

import (
	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/lambdahttp"
)

func main() {
	log := awsenv.NewLog()
	lambdahttp.Start(api.New(api.Config{Log: log}).Handler())
}
