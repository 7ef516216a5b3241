// The function upsert-lead creates a lead, or updates the one with the e-mail address:
// PUT /api/crm/lead?match=email_id.
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
	lambdahttp.Start(api.New(api.Config{Leads: table, Keys: table, Log: log}).Handler(api.UpsertLead), api.UpsertLead)
}
