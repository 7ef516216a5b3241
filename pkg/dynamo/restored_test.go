package dynamo_test

import (
	"errors"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestVersionsAfterARestore uses a table with a VersionOffset. Versions from before
// the restore match no lead, though the stored versions are the same.
func TestVersionsAfterARestore(t *testing.T) {
	t.Setenv("LEADS_EPOCH", "2")
	t.Setenv("LEADS_TABLE", dynamotest.TableName)
	const offset = 2_000_000_000
	if opened := dynamo.Open(); opened.VersionOffset != offset {
		t.Fatalf("the offset is %d", opened.VersionOffset)
	}
	client, _ := dynamotest.Start(t)
	before, after := dynamo.New(client, dynamotest.TableName), dynamo.New(client, dynamotest.TableName)
	after.VersionOffset = offset
	old, _, err := before.Create(t.Context(), loading, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil || old.Version != 1 {
		t.Fatal(old, err)
	}
	at := func(version int64) lead.Precondition {
		return lead.Precondition{Match: &lead.Versions{List: []int64{version}}}
	}
	want := func(what string, l lead.Lead, err error, version int64) {
		t.Helper()
		if err != nil || l.Version != version {
			t.Errorf("%s: version %d, want %d (error %v)", what, l.Version, version, err)
		}
	}
	l, err := after.Retrieve(t.Context(), loading, old.ID)
	want("retrieve", l, err, offset+1)
	// The second change moves an index row, in a transaction.
	for i, body := range []string{`{"city":"Bern"}`, `{"status":"Open"}`} {
		version := offset + 1 + int64(i)
		changes, err := lead.ParseChanges([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := after.Update(t.Context(), loading, old.ID, changes, at(version-offset)); !errors.Is(err, lead.ErrPreconditionFailed) {
			t.Errorf("an update of the version before the restore: %v", err)
		}
		l, err := after.Update(t.Context(), loading, old.ID, changes, at(version))
		want("update "+body, l, err, version+1)
	}
	request := createRequest(t, "Ada", "k")
	made, _, err := after.Create(t.Context(), loading, request.Values, request.Key)
	want("create", made, err, offset+1)
	for _, result := range after.CreateMany(t.Context(), loading, []lead.CreateRequest{request, createRequest(t, "Bob", "")}) {
		want("create many, replayed or not", result.Lead, result.Err, offset+1)
	}
	page, err := after.List(t.Context(), loading, lead.ListQuery{Limit: 3})
	if err != nil || len(page.Leads) != 3 {
		t.Fatal(page, err)
	}
	want("list", page.Leads[0], nil, offset+1)
	want("list", page.Leads[2], nil, offset+3)
	if err := after.Delete(t.Context(), loading, old.ID, at(3)); !errors.Is(err, lead.ErrPreconditionFailed) {
		t.Errorf("a delete of the version before the restore: %v", err)
	}
	if err := after.Delete(t.Context(), loading, old.ID, at(offset+3)); err != nil {
		t.Error(err)
	}
}
