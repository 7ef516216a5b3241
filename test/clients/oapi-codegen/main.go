// Command oapi-codegen uses the client that oapi-codegen generates.
package main

import (
	"context"
	"encoding/json"
	"log"
	"math/big"
	"net/http"
	"os"

	"overplane.dev/leads/test/clients/oapi-codegen/leads"
)

func main() {
	ctx := context.Background()
	client, err := leads.NewClientWithResponses(os.Getenv("LEADS_URL"), leads.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+os.Getenv("LEADS_KEY"))
			return nil
		}))
	check(err == nil, err)

	name, key := "Ada", "oapi-codegen"
	create := func(revenue json.Number) *leads.CreateLeadResponse {
		created, err := client.CreateLeadWithResponse(ctx, &leads.CreateLeadParams{IdempotencyKey: &key},
			leads.LeadCreate{LeadName: &name, AnnualRevenue: &revenue})
		check(err == nil && created.JSON201 != nil && equal(*created.JSON201.AnnualRevenue, revenue), string(created.Body), err)
		return created
	}
	first := create("1250000.5")
	check(create("1250000.5").JSON201.Id == first.JSON201.Id, "repeated create")
	key += "-38"
	exact := create("12345678901234567890123456789012345678")
	limit := int32(2)
	listed, err := client.ListLeadsWithResponse(ctx, &leads.ListLeadsParams{Limit: &limit})
	check(err == nil && listed.JSON200 != nil && listed.JSON200.Data[0].Id == exact.JSON201.Id && listed.JSON200.Data[1].Id == first.JSON201.Id, string(listed.Body), err)

	id, tag, status := first.JSON201.Id, first.HTTPResponse.Header.Get("ETag"), "Open"
	updated, err := client.UpdateLeadWithResponse(ctx, id, &leads.UpdateLeadParams{IfMatch: &tag}, leads.LeadUpdate{Status: &status})
	check(err == nil && updated.JSON200 != nil && *updated.JSON200.LeadName == name && updated.JSON200.Status == status, string(updated.Body), err)
	updated, err = client.UpdateLeadWithResponse(ctx, id, &leads.UpdateLeadParams{IfMatch: &tag}, leads.LeadUpdate{Status: &status})
	check(err == nil && updated.JSON412 != nil && updated.JSON412.Error.Code == "precondition_failed", string(updated.Body), err)

	for _, id := range []string{id, exact.JSON201.Id} {
		deleted, err := client.DeleteLeadWithResponse(ctx, id, nil)
		check(err == nil && deleted.JSON200 != nil && deleted.JSON200.Deleted, string(deleted.Body), err)
	}
	missing, err := client.RetrieveLeadWithResponse(ctx, id, nil)
	check(err == nil && missing.JSON404 != nil && missing.JSON404.Error.Message != "", string(missing.Body), err)
}

// equal reports whether two numbers have the same value, in any notation.
func equal(a, b json.Number) bool {
	x, okX := new(big.Rat).SetString(a.String())
	y, okY := new(big.Rat).SetString(b.String())
	return okX && okY && x.Cmp(y) == 0
}

func check(ok bool, got ...any) {
	if !ok {
		log.Fatalf("%+v", got)
	}
}
