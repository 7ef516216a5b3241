package dynamo

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/lead"
)

// batchSize is how many leads are created in one transaction. A transaction has
// at most 100 writes: two for each lead and its idempotency record, and one
// counter item for all. The limit of 4 MB is never reached, because the largest
// lead has about 40 KB.
const batchSize = 49

// CreateMany creates many leads in this order and returns a result for each,
// with the same guarantees as [Table.Create]. Up to 49 leads share a transaction,
// which is faster and cheaper than one for each. A lead that would make its
// transaction fail is created alone, so that it does not affect the others.
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

// nextBatch returns a batch that starts with the first request. All its leads are
// created in the same two seconds, so that one counter item counts them all, and
// no idempotency key occurs twice, because a transaction can write an item only
// once.
func (t *Table) nextBatch(tenant lead.Tenant, requests []lead.CreateRequest, results []lead.CreateResult) *batch {
	b := &batch{table: t, tenant: tenant}
	keys := map[string]bool{}
	for i, request := range requests[:min(len(requests), batchSize)] {
		created := newLead(t.ids.Next(t.Now()), request.Values)
		key := request.Key.Source + "/" + request.Key.Key
		if i > 0 && (keys[key] || cellOf(created.CreatedAt) != cellOf(b.pending[0].created.CreatedAt)) {
			break
		}
		if request.Key.Key != "" {
			keys[key] = true
		}
		b.pending = append(b.pending, batchRow{request, created, &results[i]})
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
		l, replayed, err := b.table.Create(ctx, b.tenant, r.Values, r.Key)
		*r.result = lead.CreateResult{Lead: l, Replayed: replayed, Err: err}
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
	t, now := b.table, b.table.Now()
	var writes []types.TransactWriteItem
	for i := range b.pending {
		r := &b.pending[i]
		writes = append(writes, t.putLead(b.tenant, &r.created))
		if r.Key.Key != "" {
			writes = append(writes, t.putIdempotencyRecord(b.tenant, &r.created, r.Key, now))
		}
	}
	return t.writeTransaction(ctx, writes, func(shard *lane) []types.TransactWriteItem {
		return []types.TransactWriteItem{t.countCreated(b.tenant, shard, b.pending[0].created.ID, int64(len(b.pending)))}
	})
}

// removeFailed takes the leads that exist already and those that made the
// transaction fail out of pending. It sets the result of the former and returns
// the latter.
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
		case isPermanent(putLead) || isPermanent(putRecord):
			failed = append(failed, r)
		default:
			b.pending = append(b.pending, r)
		}
	}
	return failed
}
