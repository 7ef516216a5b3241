package dynamo

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Audit counts the leads of a tenant and compares the counters with that, see
// [counter.Audit].
type Audit struct {
	Tenant lead.Tenant

	// Repair repairs what differs. The API may go on serving.
	Repair bool

	// Found is called for each difference, those of the oldest leads first.
	Found func(Difference)

	// Progress is called now and then with how many leads were read, of how many
	// that the counters say there are. Where something differs, leads are read
	// several times.
	Progress func(read, of int64)
}

// Difference is a number of leads that the counters have wrong.
type Difference = counter.Difference

// Count returns how many leads of a tenant there are, according to the counters.
func (t *Table) Count(ctx context.Context, tenant lead.Tenant) (int64, error) {
	view, err := t.counters.ReadTotal(ctx, tenantName(tenant))
	if err != nil {
		return 0, toStoreError(err)
	}
	return view.Total(), nil
}

// Audit runs an audit and returns the number of leads. It reads every lead, for 1
// read unit each, and again those of a day in which something differs.
//
// If the index lags for longer than the audit waits, which is some seconds, that
// looks like a difference. The next audit undoes a repair of it.
func (t *Table) Audit(ctx context.Context, a Audit) (leads int64, err error) {
	total, err := t.Count(ctx, a.Tenant)
	if err != nil {
		return 0, err
	}
	names, read := map[counter.Series]string{counter.All: "leads"}, int64(0)
	return t.counters.Audit(ctx, counter.Audit{
		Prefix: tenantName(a.Tenant),
		Repair: a.Repair,
		Things: func(ctx context.Context, from, to string) iter.Seq2[counter.Thing, error] {
			return func(yield func(counter.Thing, error) bool) {
				for it, err := range t.eachItem(ctx, a.Tenant, from, to) {
					var thing counter.Thing
					if err == nil {
						thing = thingOf(it, names)
						if read++; read%1000 == 0 {
							a.Progress(read, max(read, total))
						}
					}
					if !yield(thing, err) {
						return
					}
				}
			}
		},
		Write: func(ctx context.Context, change func(time.Time) *counter.Change) error {
			return t.writeTransaction(ctx, a.Tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
				return nil, change(at), nil
			})
		},
		Describe: func(s counter.Series) string { return cmp.Or(names[s], "leads of the series "+string(s)) },
		Found:    a.Found,
		Sleep:    t.sleep,
	})
}

// thingOf returns what is counted of a lead that is stored as this item, and
// names its series. A lead that an older version created is not counted.
func thingOf(it item, names map[counter.Series]string) counter.Thing {
	l, indexed := leadFromItem(it, 0), stringOf(it[attrIndexed])
	thing := counter.Thing{Created: createdAt(l.ID)}
	if indexed == "" {
		return thing
	}
	thing.Series = append(thing.Series, counter.All)
	for field, s := range placeOf(&l, indexed) {
		if isCounted(field) {
			names[s] = "leads with " + lead.Fields[field].Name + "=" + l.Values[field].(string)
			thing.Series = append(thing.Series, s)
		}
	}
	return thing
}
