package ingest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// typed returns the message attribute that says what to do with a lead.
func typed(kind string) string {
	return fmt.Sprintf(`"messageAttributes":{"detail-type":{"stringValue":%q,"dataType":"String"}}`, kind)
}

func typedMessage(id, body, kind string) string {
	return strings.Replace(sqsMessage(id, body), `"messageAttributes":{}`, typed(kind), 1)
}

func (f *fixture) emails(t *testing.T) (leads []string) {
	page, err := f.table.List(t.Context(), f.Tenant, lead.ListQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range page.Leads {
		leads = append(leads, fmt.Sprint(l.Values[lead.FieldNamed("email_id")], " ", l.Values[lead.FieldNamed("city")]))
	}
	slices.Sort(leads)
	return leads
}

// TestUpsertRecords upserts leads from each source. A second delivery changes nothing
// that is to be seen.
func TestUpsertRecords(t *testing.T) {
	body := func(city string) string { return `{"email_id":"ann@example.org","city":"` + city + `"}` }
	notice := strings.Replace(snsRecord("n1", body("Ulm")), `"MessageAttributes":{}`, `"MessageAttributes":{"detail-type":{"Type":"String","Value":"lead.upsert"}}`, 1)
	event := strings.Replace(busEvent("e1", body("Kiel")), "Form filled", "lead.upsert", 1)
	f := newFixture(t)
	for _, step := range []struct{ event, want string }{
		{records(typedMessage("m1", body("Bonn"), "lead.upsert")), "ann@example.org Bonn"},
		{records(notice), "ann@example.org Ulm"},
		{event, "ann@example.org Kiel"},
		{records(typedMessage("m2", `{"email_id":"Bob@example.org","city":"Bern"}`, "lead.create"), typedMessage("m3", body("Jena"), "lead.upsert")),
			"Bob@example.org Bern, ann@example.org Jena"},
	} {
		for range 2 {
			if answer, failure := f.invoke(t, step.event); failure != "" || strings.Contains(answer, "itemIdentifier") {
				t.Fatal(answer, failure)
			}
			if got := strings.Join(f.emails(t), ", "); got != step.want {
				t.Errorf("the leads are %s, want %s", got, step.want)
			}
		}
	}
	if log := f.log.String(); !strings.Contains(log, `"created":1,"updated":0,`) || !strings.Contains(log, `"created":1,"updated":1,`) {
		t.Errorf("the log does not count what was created and updated: %s", log)
	}
	f.wantDLQ(t)
}

// TestRejectedUpserts keeps the type of a rejected record, so that a retry upserts.
func TestRejectedUpserts(t *testing.T) {
	f := newFixture(t)
	twice := `{"email_id":"ann@example.org"}`
	f.wantFailed(t, records(sqsMessage("m1", twice), sqsMessage("m2", twice)))
	f.wantFailed(t, records(
		typedMessage("m3", `{"city":"Bonn"}`, "lead.upsert"),
		typedMessage("m4", twice, "lead.upsert"),
		typedMessage("m5", twice, "lead.delete"),
	))
	f.wantDLQ(t, `parameter_invalid {"city":"Bonn"}`, "match_ambiguous "+twice, "parameter_invalid "+twice)
	var kinds []string
	for _, m := range f.dlq.sent {
		kinds = append(kinds, m.Attributes["detail-type"])
	}
	if !slices.Equal(kinds, []string{"lead.upsert", "lead.upsert", ""}) {
		t.Errorf("the rejected records have the types %q", kinds)
	}
	corrected := f.dlq.sent[0]
	corrected.Body = `{"email_id":"bob@example.org","city":"Bonn"}`
	f.wantFailed(t, records(delivered("d1", corrected)))
	f.wantFailed(t, records(delivered("d2", corrected)))
	if got := strings.Join(f.emails(t), ", "); got != "ann@example.org <nil>, ann@example.org <nil>, bob@example.org Bonn" {
		t.Errorf("the leads are %s", got)
	}

	f.table.Filters = nil
	f.wantFailed(t, records(typedMessage("m6", twice, "lead.upsert")))
	if code := f.dlq.sent[3].Attributes["code"]; code != "parameter_invalid" {
		t.Errorf("without the filter email_id the code is %s", code)
	}
}

// TestUpsertFailure reports only the message whose upsert panics.
func TestUpsertFailure(t *testing.T) {
	f := newFixture(t)
	f.Leads = panicking{f.table}
	f.wantFailed(t, records(
		typedMessage("m1", `{"email_id":"panic@example.org"}`, "lead.upsert"),
		typedMessage("m2", `{"email_id":"bob@example.org"}`, "lead.upsert"),
	), "m1")
	if got := strings.Join(f.emails(t), ", "); got != "bob@example.org <nil>" {
		t.Errorf("the leads are %s", got)
	}
	f.wantDLQ(t)
}

// panicking is a table whose upsert of one address panics.
type panicking struct{ *dynamo.Table }

func (p panicking) Upsert(ctx context.Context, t lead.Tenant, changes []lead.Change, only lead.Precondition) (lead.Lead, bool, error) {
	if changes[0].Value == "panic@example.org" {
		panic("kaboom")
	}
	return p.Table.Upsert(ctx, t, changes, only)
}
