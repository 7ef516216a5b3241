// The function unmatched answers what no route of the HTTP API takes: 404, 405,
// and OPTIONS. It knows no database.
package main

import (
	"log/slog"
	"os"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lambdahttp"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	lambdahttp.Start(api.New(api.Config{Log: log}).Handler())
}
