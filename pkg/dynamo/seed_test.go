package dynamo

import (
	"context"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Seed creates leads with these values at these times, which ascend, as if one
// writer had created them, but without transactions, and so much faster. The
// tenant must have no leads in the windows of these times. Seed calls progress
// after every ten thousand leads.
func (t *Table) Seed(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time], progress func(leads int)) error {
	if err := t.SeedCounters(ctx, tenant, values, times); err != nil {
		return err
	}
	return t.SeedLeads(ctx, tenant, values, times, progress)
}

// SeedLeads writes just the leads and their index rows.
func (t *Table) SeedLeads(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time], progress func(leads int)) error {
	return t.putAll(ctx, func(yield func(item) bool) {
		var ids lead.IDGenerator // the table's own never goes back
		created := 0
		for at := range times {
			l := t.newLead(ids.Next(at), values)
			if !yield(itemFromLead(tenant, &l, t.indexed())) {
				return
			}
			for _, s := range placeOf(&l, t.indexed()) {
				if !yield(rowKey(tenant, s, l.ID)) {
					return
				}
			}
			if created++; created%10_000 == 0 {
				progress(created)
			}
		}
	})
}

// SeedCounters writes just the counter items of such leads.
func (t *Table) SeedCounters(ctx context.Context, tenant lead.Tenant, values lead.Values, times iter.Seq[time.Time]) error {
	return t.putAll(ctx, func(yield func(item) bool) {
		var ids lead.IDGenerator
		shards := counter.Shards{}
		shard := shards.Acquire()
		var last item
		for at := range times {
			l := t.newLead(ids.Next(at), values)
			change := counter.NewChange(l.CreatedAt)
			t.createRows(tenant, &l, t.indexed(), change)
			update := change.Writes(t.name, tenantName(tenant), shard)[0].Update
			shard.Written(change)
			if sortKey := update.Key[attrSK]; last == nil || stringOf(last[attrSK]) != stringOf(sortKey) {
				if last != nil && !yield(last) {
					return
				}
				last = maps.Clone(update.Key)
			}
			applyUpdate(last, update)
		}
		yield(last)
	})
}

var addOrSet = regexp.MustCompile(`(#\d+)( =)? (:\d+)`)

// applyUpdate does what an update of a counter item does.
func applyUpdate(it item, update *types.Update) {
	for _, part := range addOrSet.FindAllStringSubmatch(*update.UpdateExpression, -1) {
		name, value := update.ExpressionAttributeNames[part[1]], update.ExpressionAttributeValues[part[3]]
		if part[2] == "" {
			value = number(intOf(it[name]) + intOf(value))
		}
		it[name] = value
	}
}

// SeedHistory says of a tenant that it had so many leads with these values of each
// of these days at the end of the last of them. It writes what stands in the table
// after a history of that size, except its leads and counter items.
func (t *Table) SeedHistory(ctx context.Context, tenant lead.Tenant, values lead.Values, days map[string]int64) error {
	var total int64
	var numbers []string
	first, last := slices.Min(slices.Collect(maps.Keys(days))), slices.Max(slices.Collect(maps.Keys(days)))
	for day, _ := time.Parse(time.DateOnly, first); day.Format(time.DateOnly) <= last; day = day.AddDate(0, 0, 1) {
		n := days[day.Format(time.DateOnly)]
		total += n
		numbers = append(numbers, itoa(n))
	}
	sum := itemKey(tenantName(tenant)+"/counters", "~")
	sum["through"], sum["total"] = text(last+"T23:5"), number(total)
	items := []item{sum}
	series := []counter.Series{counter.All}
	for field, s := range placeOf(&lead.Lead{Values: values}, t.indexed()) {
		if isCounted(field) {
			series = append(series, s)
		}
	}
	for _, s := range series {
		snapshot := itemKey(tenantName(tenant)+"/snapshot", "s"+string(s))
		snapshot["through"], snapshot["first"], snapshot["days"] = text(last+"T23:5"), text(first), text(strings.Join(numbers, " "))
		items = append(items, snapshot)
	}
	return t.putAll(ctx, slices.Values(items))
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
