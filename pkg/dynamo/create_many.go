package dynamo

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// maxWrites is how many writes a transaction may have. The limit of 4 MB is never
// reached, because the largest lead has about 40 KB.
const maxWrites = 100

// CreateMany creates many leads in this order and returns a result for each, with
// the guarantees of [Table.Create]. One transaction writes the leads, their index
// rows and idempotency records, and the counter item. Up to 49 leads share a
// transaction, or 19 if each has rows of three filters. That is faster and cheaper
// than one for each. A lead that would make its transaction fail is created alone,
// so that it does not affect the others.
func (t *Table) CreateMany(ctx context.Context, tenant lead.Tenant, requests []lead.CreateRequest) []lead.CreateResult {
	results := make([]lead.CreateResult, len(requests))
	for done := 0; done < len(requests); {
		b := t.nextBatch(tenant, requests[done:], results[done:])
		done += len(b.pending)
		b.create(ctx)
	}
	return results
}

// batch is a number of creates that share a transaction.
type batch struct {
	table   *Table
	tenant  lead.Tenant
	pending []batchRow // those without a result
}

type batchRow struct {
	lead.CreateRequest
	created lead.Lead
	result  *lead.CreateResult
}

// nextBatch returns a batch that starts with the first request. No idempotency
// key occurs twice in it, because a transaction can write an item only once.
func (t *Table) nextBatch(tenant lead.Tenant, requests []lead.CreateRequest, results []lead.CreateResult) *batch {
	b := &batch{table: t, tenant: tenant}
	keys := map[string]bool{}
	// Two writes count the leads, if their ids reach into the next window.
	for i, writes := 0, 2; i < len(requests); i++ {
		request := requests[i]
		writes += 1 + len(placeOf(&lead.Lead{Values: request.Values}, t.indexed()))
		key := request.Key.Source + "/" + request.Key.Key
		if request.Key.Key != "" {
			writes++
		}
		if i > 0 && (keys[key] || writes > maxWrites) {
			break
		}
		if request.Key.Key != "" {
			keys[key] = true
		}
		b.pending = append(b.pending, batchRow{CreateRequest: request, result: &results[i]})
	}
	return b
}

// create creates the leads of the batch. Each round creates all pending leads, or
// finds some that exist already or that make the transaction fail.
func (b *batch) create(ctx context.Context) {
	var alone []batchRow
	for len(b.pending) > 0 {
		err := b.writeTransaction(ctx)
		var cancelled *types.TransactionCanceledException
		var unavailable *lead.UnavailableError
		var apiError smithy.APIError
		before := len(b.pending)
		switch {
		case err == nil:
			b.finish(func(r batchRow) lead.CreateResult { return lead.CreateResult{Lead: r.created} })
		case errors.As(err, &unavailable):
		case errors.As(err, &cancelled):
			alone = append(alone, b.removeFailed(err)...)
		case errors.As(err, &apiError) && apiError.ErrorCode() == "ValidationException" && before > 1:
			// DynamoDB does not say which lead is invalid.
			b.pending, alone = nil, append(alone, b.pending...)
		}
		if len(b.pending) == before { // another round would fail in the same way
			b.finish(func(batchRow) lead.CreateResult { return lead.CreateResult{Err: err} })
		}
	}
	for _, r := range alone {
		(&batch{b.table, b.tenant, []batchRow{r}}).create(ctx)
	}
}

// finish sets the result of all pending leads.
func (b *batch) finish(resultOf func(batchRow) lead.CreateResult) {
	for _, r := range b.pending {
		*r.result = resultOf(r)
	}
	b.pending = nil
}

// writeTransaction writes the pending leads, each followed by its idempotency
// record if it has a key.
func (b *batch) writeTransaction(ctx context.Context) error {
	t := b.table
	return t.writeTransaction(ctx, b.tenant, func(now time.Time) (writes []types.TransactWriteItem, _ *counter.Change, _ error) {
		var change *counter.Change
		var rows []types.TransactWriteItem
		for i := range b.pending {
			r := &b.pending[i]
			r.created = t.newLead(t.ids.Next(now), r.Values)
			if change == nil {
				change = counter.NewChange(r.created.CreatedAt)
			}
			writes = append(writes, t.putLead(b.tenant, &r.created))
			if r.Key.Key != "" {
				writes = append(writes, t.putIdempotencyRecord(b.tenant, &r.created, r.Key, now))
			}
			rows = append(rows, t.createRows(b.tenant, &r.created, t.indexed(), change)...)
		}
		return append(writes, rows...), change, nil
	})
}

// removeFailed takes the leads that exist already, and those that made the
// transaction of several leads fail, out of pending. It sets the result of the
// former and returns the latter.
func (b *batch) removeFailed(err error) (failed []batchRow) {
	pending := b.pending
	b.pending = nil
	write := 0
	for _, r := range pending {
		putLead, putRecord := cancellationReason(err, write), types.CancellationReason{}
		if write++; r.Key.Key != "" {
			putRecord = cancellationReason(err, write)
			write++
		}
		switch {
		case conditionFailed(putRecord):
			l, replayed, err := replayCreate(putRecord.Item, r.created)
			*r.result = lead.CreateResult{Lead: l, Replayed: replayed, Err: err}
		case conditionFailed(putLead):
			// An earlier attempt created the lead and its response was lost.
			r.result.Lead = r.created
		case len(pending) > 1 && (isPermanent(putLead) || isPermanent(putRecord)):
			failed = append(failed, r)
		default:
			b.pending = append(b.pending, r)
		}
	}
	return failed
}
