package dynamo_test

import (
	"slices"
	"testing"
	"time"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestFindCreated looks up leads by the keys with which they were created.
func TestFindCreated(t *testing.T) {
	table, _ := dynamotest.New(t)
	now := time.Now()
	table.Now = func() time.Time { return now }
	requests := createRequests(t, 120)
	results := table.CreateMany(t.Context(), loading, requests)
	wantCreated(t, requests, results, false)
	var ids []lead.ID
	for _, result := range results {
		ids = append(ids, result.Lead.ID)
	}
	if err := table.Delete(t.Context(), loading, ids[0], lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	find := func(requests ...lead.CreateRequest) []lead.ID {
		t.Helper()
		found, err := table.FindCreated(t.Context(), loading, requests)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	unknown := requests[0]
	unknown.Key.Source = "other"
	// The first lead is deleted, and one key occurs twice.
	if got, want := find(append(requests, unknown, requests[7])...), append(ids, "", ids[7]); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	leads, err := table.RetrieveMany(t.Context(), loading, append(ids, "lead_00000000000000000000000000"))
	if err != nil || len(leads) != 119 || leads[0].ID != ids[1] || leads[0].Values != requests[1].Values {
		t.Errorf("%d leads, want all but the deleted one (%v)", len(leads), err)
	}
	now = now.Add(2 * time.Hour)
	if got := find(requests[1]); got[0] != "" {
		t.Errorf("a key that has expired: lead %q", got)
	}
}
