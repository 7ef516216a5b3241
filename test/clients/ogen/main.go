// Command ogen uses the client that ogen generates. It holds numbers as float64,
// which rounds a revenue of 38 digits.
package main

import (
	"context"
	"log"
	"os"

	"overplane.dev/leads/test/clients/ogen/leads"
)

type apiKey string

func (k apiKey) HandleApiKey(ctx context.Context, _ leads.OperationName, r leads.ApiKey) (context.Context, error) {
	return ctx, nil
}

func (k apiKey) ApiKey(context.Context, leads.OperationName) (leads.ApiKey, error) {
	return leads.ApiKey{Token: string(k)}, nil
}

func main() {
	ctx := context.Background()
	client, err := leads.NewClient(os.Getenv("LEADS_URL"), apiKey(os.Getenv("LEADS_KEY")))
	check(err == nil, err)

	create := func(key string, revenue float64) *leads.LeadCreatedHeaders {
		answer, err := client.CreateLead(ctx, leads.NewOptLeadCreate(leads.LeadCreate{
			LeadName: leads.NewOptNilString("Ada"), AnnualRevenue: leads.NewOptNilFloat64(revenue),
		}), leads.CreateLeadParams{IdempotencyKey: leads.NewOptString(key)})
		created, ok := answer.(*leads.LeadCreatedHeaders)
		check(err == nil && ok && created.Response.AnnualRevenue.Value == revenue, answer, err)
		return created
	}
	first := create("ogen", 1250000.5)
	check(create("ogen", 1250000.5).Response.ID == first.Response.ID, "repeated create")
	rounded := create("ogen-38", 12345678901234567890123456789012345678)
	answer, err := client.ListLeads(ctx, leads.ListLeadsParams{Limit: leads.NewOptInt32(2)})
	listed, ok := answer.(*leads.LeadsListedHeaders)
	check(err == nil && ok && listed.Response.Data[0].ID == rounded.Response.ID && listed.Response.Data[1].ID == first.Response.ID, answer, err)

	params := leads.UpdateLeadParams{ID: first.Response.ID, IfMatch: leads.NewOptString(first.Etag)}
	change := leads.UpdateLeadReq(&leads.UpdateLeadApplicationJSON{Status: leads.NewOptNilString("Open")})
	changed, err := client.UpdateLead(ctx, change, params)
	updated, ok := changed.(*leads.LeadUpdatedHeaders)
	check(err == nil && ok && updated.Response.LeadName.Value == "Ada" && updated.Response.Status == "Open", changed, err)
	changed, err = client.UpdateLead(ctx, change, params)
	failed, ok := changed.(*leads.PreconditionFailedHeaders)
	check(err == nil && ok && failed.Response.Error.Code == "precondition_failed", changed, err)

	for _, id := range []string{first.Response.ID, rounded.Response.ID} {
		answer, err := client.DeleteLead(ctx, leads.DeleteLeadParams{ID: id})
		deleted, ok := answer.(*leads.LeadDeletedHeaders)
		check(err == nil && ok && deleted.Response.Deleted, answer, err)
	}
	missing, err := client.RetrieveLead(ctx, leads.RetrieveLeadParams{ID: first.Response.ID})
	notFound, ok := missing.(*leads.NotFoundHeaders)
	check(err == nil && ok && notFound.Response.Error.Message != "", missing, err)
}

func check(ok bool, got ...any) {
	if !ok {
		log.Fatalf("%+v", got)
	}
}
