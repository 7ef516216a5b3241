package dynamo_test

import (
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestShortPages reads everything from a DynamoDB whose pages are short or empty
// and whose batches are incomplete, as they may be.
func TestShortPages(t *testing.T) {
	table, meter := dynamotest.New(t)
	acme := lead.Tenant{Account: "acme", Mode: lead.Test}
	const n = 60
	var want []lead.ID // newest first
	for i := range n {
		l, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		want = append([]lead.ID{l.ID}, want...)
		if i%6 == 0 {
			_, key := apikey.NewKey(acme, apikey.Read, time.Now(), time.Time{})
			if err := table.CreateKey(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	meter.CutPages = true
	for _, offset := range []int64{0, 7, 55} {
		page, err := table.List(t.Context(), acme, lead.ListQuery{Offset: offset, Limit: 20})
		if err != nil || page.Total != n || len(page.Leads) != min(20, n-int(offset)) {
			t.Fatalf("offset %d: %d leads of %d, %v", offset, len(page.Leads), page.Total, err)
		}
		for i, l := range page.Leads {
			if l.ID != want[int(offset)+i] {
				t.Errorf("offset %d: lead %d is another", offset, i)
			}
		}
	}
	all := 0
	for _, err := range table.All(t.Context(), acme) {
		if err != nil {
			t.Fatal(err)
		}
		all++
	}
	keys, err := table.ListKeys(t.Context(), "acme")
	if err != nil || all != n || len(keys) != n/6 {
		t.Errorf("%d leads and %d keys, want %d and %d, %v", all, len(keys), n, n/6, err)
	}
	counted, err := table.Audit(t.Context(), dynamo.Audit{
		Tenant:   acme,
		Found:    func(d dynamo.Difference) { t.Errorf("difference %v", d) },
		Progress: func(int64, int64) {},
	})
	if err != nil || counted != n {
		t.Errorf("the audit counted %d leads, %v", counted, err)
	}
}
