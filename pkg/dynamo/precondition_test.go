package dynamo_test

import (
	"errors"
	"testing"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// TestPreconditionLength checks that a precondition may list 100 versions and no
// more.
func TestPreconditionLength(t *testing.T) {
	table, meter := dynamotest.New(t)
	created, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	match := func(versions int) lead.Precondition {
		list := make([]int64, versions-1, versions)
		return lead.Precondition{Match: &lead.Versions{List: append(list, created.Version)}}
	}
	noneMatch := lead.Precondition{NoneMatch: &lead.Versions{List: make([]int64, 101)}}
	changes := []lead.Change{{Field: 0, Value: "x"}}

	meter.Reset()
	for param, p := range map[string]lead.Precondition{"If-Match": match(101), "If-None-Match": noneMatch} {
		for name, call := range map[string]func() error{
			"update":            func() error { _, err := table.Update(t.Context(), acme, created.ID, changes, p); return err },
			"update of nothing": func() error { _, err := table.Update(t.Context(), acme, created.ID, nil, p); return err },
			"delete":            func() error { return table.Delete(t.Context(), acme, created.ID, p) },
		} {
			var invalid lead.ValidationError
			if err := call(); !errors.As(err, &invalid) || invalid[0].Param != param {
				t.Errorf("%s with 101 versions in %s: %v, want a ValidationError", name, param, err)
			}
		}
	}
	if requests, _, _ := meter.Cost(); requests != 0 {
		t.Errorf("%d requests for invalid preconditions, want 0", requests)
	}
	if _, err := table.Update(t.Context(), acme, created.ID, changes, match(100)); err != nil {
		t.Errorf("update with 100 versions: %v", err)
	}
}
