package dynamo

import (
	"context"
	"iter"

	"overplane.dev/leads/pkg/lead"
)

// All returns every lead of the tenant, the oldest first. It ends after the
// first error. Leads that were created in the last seconds may be missing,
// because the index is updated after the table.
func (t *Table) All(ctx context.Context, tenant lead.Tenant) iter.Seq2[lead.Lead, error] {
	const pageSize = 100
	return func(yield func(lead.Lead, error) bool) {
		for from := " "; ; {
			leads, last, err := t.listAfter(ctx, tenant, from, pageSize)
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

// listAfter returns at most limit leads after a position in the index, the oldest
// first. It also returns the position after them, or "" if there are no more.
func (t *Table) listAfter(ctx context.Context, tenant lead.Tenant, from string, limit int) ([]lead.Lead, string, error) {
	ctx, cancel := withRetryDeadline(ctx)
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
