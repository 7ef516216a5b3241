package dynamo

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/lead"
)

// batchSize is how many leads share a transaction. A transaction takes 100
// writes: a lead and its idempotency record are two, the book is one for all.
// The 4 MB that it may hold are never reached: the largest lead has some 40 KB.
const batchSize = 49

// CreateMany makes many leads, in this order, and says of each what became of
// it; each is made or not as by [Table.Create]. It is for loads: up to 49 leads
// share a transaction, and a lead that cannot be made there is tried alone, so
// that it holds up no other.
func (t *Table) CreateMany(ctx context.Context, tenant lead.Tenant, wanted []lead.CreateRequest) []lead.CreateResult {
	outcomes := make([]lead.CreateResult, len(wanted))
	for done := 0; done < len(wanted); {
		b := t.nextBatch(tenant, wanted[done:], outcomes[done:])
		done += len(b.rows)
		b.create(ctx)
	}
	return outcomes
}

// batch is some creates that share a transaction.
type batch struct {
	table  *Table
	tenant lead.Tenant
	rows   []row
}

type row struct {
	lead.CreateRequest
	made    lead.Lead
	outcome *lead.CreateResult
}

// nextBatch begins a batch with the first of the creates that are wanted. All
// its leads are counted in one cell of one book, and no idempotency key occurs
// twice, because a transaction writes no item twice.
func (t *Table) nextBatch(tenant lead.Tenant, wanted []lead.CreateRequest, outcomes []lead.CreateResult) *batch {
	b := &batch{table: t, tenant: tenant}
	seen := map[string]bool{}
	for i, w := range wanted[:min(len(wanted), batchSize)] {
		made := newLead(t.mint.Next(t.Now()), w.Values)
		name := w.Key.Source + "/" + w.Key.Key
		if i > 0 && (seen[name] || cellOf(made.CreatedAt) != b.cell()) {
			break
		}
		if w.Key.Key != "" {
			seen[name] = true
		}
		b.rows = append(b.rows, row{w, made, &outcomes[i]})
	}
	return b
}

func (b *batch) cell() string { return cellOf(b.rows[0].made.CreatedAt) }

// create makes the leads of the batch. Each round either makes all that are
// left or finds some that have been made before or that stand in the way.
func (b *batch) create(ctx context.Context) {
	var alone []row
	for len(b.rows) > 0 {
		err := b.transact(ctx)
		var cancelled *types.TransactionCanceledException
		var busy *lead.UnavailableError
		var invalid smithy.APIError
		all := len(b.rows)
		switch {
		case err == nil:
			b.settle(func(r row) lead.CreateResult { return lead.CreateResult{Lead: r.made} })
		case errors.As(err, &busy):
		case errors.As(err, &cancelled):
			left, hindering := b.sort(err)
			b.rows, alone = left, append(alone, hindering...)
		case errors.As(err, &invalid) && invalid.ErrorCode() == "ValidationException" && all > 1:
			b.rows, alone = nil, append(alone, b.rows...) // one lead's fault
		}
		if len(b.rows) == all { // nothing came of it, and nothing will
			b.settle(func(row) lead.CreateResult { return lead.CreateResult{Err: err} })
		}
	}
	for _, r := range alone {
		o := r.outcome
		o.Lead, o.Replayed, o.Err = b.table.Create(ctx, b.tenant, r.Values, r.Key)
	}
}

// settle gives every row that is left its outcome.
func (b *batch) settle(outcome func(row) lead.CreateResult) {
	for _, r := range b.rows {
		*r.outcome = outcome(r)
	}
	b.rows = nil
}

// transact writes the leads, their records, and last the book of all.
func (b *batch) transact(ctx context.Context) error {
	t, now := b.table, b.table.Now()
	var writes []types.TransactWriteItem
	for i := range b.rows {
		r := &b.rows[i]
		writes = append(writes, t.put(b.tenant, &r.made))
		if r.Key.Key != "" {
			writes = append(writes, types.TransactWriteItem{Put: t.record(b.tenant, &r.made, r.Key, now)})
		}
	}
	cell := cellMark("c", b.cell())
	book, count := len(writes), int64(len(b.rows))
	writes = append(writes, types.TransactWriteItem{})
	return t.transact(ctx, writes, func(l *lane) {
		writes[book] = t.book(b.tenant, l.book(period(b.rows[0].made.CreatedAt), count, cell), count, cell)
	})
}

// sort settles the rows that were made before and returns the others: those
// that nothing spoke against, and those that kept all from being made.
func (b *batch) sort(err error) (left, hindering []row) {
	write := 0
	for _, r := range b.rows {
		put, record := reason(err, write), types.CancellationReason{}
		if write++; r.Key.Key != "" {
			record = reason(err, write)
			write++
		}
		o := r.outcome
		switch {
		case has(record, refused):
			o.Lead, o.Replayed, o.Err = replay(record.Item, r.made)
		case has(put, refused): // made by an attempt whose answer was lost
			o.Lead = r.made
		case isLasting(put) || isLasting(record):
			hindering = append(hindering, r)
		default:
			left = append(left, r)
		}
	}
	return left, hindering
}
