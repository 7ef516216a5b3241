// The function batch-leads runs many operations: POST /api/crm/lead/batch.
package main

import (
	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lambdahttp"
)

func main() {
	table := dynamo.Open()
	log := awsenv.NewLog()
	lambdahttp.Start(api.New(api.Config{Leads: table, Keys: table, Log: log}).Handler(api.BatchLeads), api.BatchLeads)
}
