package dynamo

import (
	"context"
	"iter"

	"overplane.dev/leads/pkg/lead"
)

// All returns every lead of the tenant as it stands when it is reached, the
// oldest first. It ends with the first error. A lead that was created within the
// last moments may be missing: the index follows the table.
func (t *Table) All(ctx context.Context, tenant lead.Tenant) iter.Seq2[lead.Lead, error] {
	const page = 100
	return func(yield func(lead.Lead, error) bool) {
		for from := " "; ; {
			leads, last, err := t.after(ctx, tenant, from, page)
			if err != nil {
				yield(lead.Lead{}, err)
				return
			}
			for _, l := range leads {
				if !yield(l, nil) {
					return
				}
			}
			if last == "" {
				return
			}
			from = last
		}
	}
}

// after returns the leads that were created next after a place in the index, at
// most limit, and the place where to go on, or "" at the end.
func (t *Table) after(ctx context.Context, tenant lead.Tenant, from string, limit int) ([]lead.Lead, string, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	keys, more, err := t.index(ctx, tenant, newer, from, limit)
	if err != nil {
		return nil, "", err
	}
	leads, err := t.fetch(ctx, nil, keys)
	if err != nil || !more {
		return leads, "", err
	}
	return leads, createdAt(leadID(keys[len(keys)-1])), nil
}
