package dynamo_test

import (
	"slices"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

func TestTenants(t *testing.T) {
	table, _ := dynamotest.New(t)
	zoo, old := lead.Tenant{Account: "zoo", Mode: lead.Live}, lead.Tenant{Account: "old", Mode: lead.Live}
	for _, tenant := range []lead.Tenant{zoo, acme, acme} {
		_, key := apikey.NewKey(tenant, apikey.Read, time.Now(), time.Time{})
		if err := table.CreateKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Reindex(t.Context(), dynamo.Reindex{Tenant: old, Progress: func(int64, int64, lead.ID) {}}); err != nil {
		t.Fatal(err)
	}
	got, err := table.Tenants(t.Context())
	if want := []lead.Tenant{acme, old, zoo}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
