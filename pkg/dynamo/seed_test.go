package dynamo

import (
	"context"
	"iter"
	"maps"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Seed makes leads that were created at these times, which ascend, as if one
// writer had made them, but without transactions, and so much faster. The tenant
// must have no leads in the periods of these times. Seed calls progress after
// every ten thousand leads.
func (t *Table) Seed(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time], progress func(leads int)) error {
	if err := t.SeedBooks(ctx, tenant, times); err != nil {
		return err
	}
	return t.SeedLeads(ctx, tenant, values, times, progress)
}

// SeedLeads writes just the leads.
func (t *Table) SeedLeads(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time], progress func(leads int)) error {
	return t.putAll(ctx, func(yield func(item) bool) {
		var mint lead.IDGenerator // the table's own never goes back
		made := 0
		for at := range times {
			l := newLead(mint.Next(at), values)
			if !yield(itemFromLead(tenant, &l)) {
				return
			}
			if made++; made%10_000 == 0 {
				progress(made)
			}
		}
	})
}

// SeedBooks writes just the books of such leads.
func (t *Table) SeedBooks(ctx context.Context, tenant lead.Tenant, times iter.Seq[time.Time]) error {
	return t.putAll(ctx, func(yield func(item) bool) {
		var writer lane
		var book item
		for at := range times {
			m := cellMark("c", cellOf(at))
			name := writer.book(period(at), 1, m)
			if book == nil || stringOf(book[attrSK]) != name {
				if book != nil && !yield(book) {
					return
				}
				book = itemKey(booksOf(tenant), name)
			}
			add(book, attrLeads, number(1))
			add(book, m.name, m.value(1))
		}
		yield(book)
	})
}

// SeedHistory says of a tenant that it had so many leads of each of these days
// at the end of the last of them: it writes what stands in the table after a
// history of that size, but for its leads and books.
func (t *Table) SeedHistory(ctx context.Context, tenant lead.Tenant, days map[string]int64) error {
	var total int64
	for _, n := range days {
		total += n
	}
	through := slices.Max(slices.Collect(maps.Keys(days))) + "T23:5"
	return t.putAll(ctx, slices.Values([]item{
		balanceLine(tenant, through, total),
		calendarLine(tenant, through, days),
	}))
}

// putAll puts items, as many at a time as BatchWriteItem takes.
func (t *Table) putAll(ctx context.Context, items iter.Seq[item]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan []types.WriteRequest)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for writes := range batches {
				for len(writes) > 0 && ctx.Err() == nil {
					out, err := t.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
						RequestItems: map[string][]types.WriteRequest{t.name: writes},
					})
					if err != nil {
						cancel(err)
						break
					}
					writes = out.UnprocessedItems[t.name]
				}
			}
		})
	}
	var batch []types.WriteRequest
	for it := range items {
		batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
		if len(batch) == 25 {
			batches <- batch
			batch = nil
		}
	}
	batches <- batch
	close(batches)
	work.Wait()
	return context.Cause(ctx)
}

// add does what ADD does to an attribute.
func add(it item, name string, value types.AttributeValue) {
	var sum, n big.Int
	if was, ok := it[name].(*types.AttributeValueMemberN); ok {
		sum.SetString(was.Value, 10)
	}
	n.SetString(value.(*types.AttributeValueMemberN).Value, 10)
	it[name] = &types.AttributeValueMemberN{Value: sum.Add(&sum, &n).String()}
}
