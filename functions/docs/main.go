// The function docs serves the documentation of the API: GET and HEAD /docs and
// /openapi.json. It needs no key and no database.
package main

import (
	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/docs"
	"overplane.dev/leads/pkg/lambdahttp"
)

func main() {
	log := awsenv.NewLog()
	lambdahttp.Start(api.New(api.Config{Log: log}).Handler(docs.Routes()...))
}
