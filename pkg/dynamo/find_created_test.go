package dynamo_test

import (
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
	find := func(key lead.IdempotencyKey) lead.ID {
		t.Helper()
		id, err := table.FindCreated(t.Context(), loading, key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, i := range []int{0, 119} { // the first one is deleted
		if got := find(requests[i].Key); got != ids[i] {
			t.Errorf("key %d: lead %q, want %q", i, got, ids[i])
		}
	}
	if got := find(lead.IdempotencyKey{Source: "other", Key: requests[0].Key.Key}); got != "" {
		t.Errorf("a key that was not used: lead %q", got)
	}
	leads, err := table.RetrieveMany(t.Context(), loading, append(ids, "lead_00000000000000000000000000"))
	if err != nil || len(leads) != 119 || leads[0].ID != ids[1] || leads[0].Values != requests[1].Values {
		t.Errorf("%d leads, want all but the deleted one (%v)", len(leads), err)
	}
	now = now.Add(2 * time.Hour)
	if got := find(requests[1].Key); got != "" {
		t.Errorf("a key that has expired: lead %q", got)
	}
}
