package dynamo

import (
	"context"
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

	// Progress is called now and then with how many leads were counted, of how
	// many that the counters say there are. If something differs, leads are
	// counted again.
	Progress func(counted, of int64)
}

// Difference is a number of leads that the counters have wrong.
type Difference = counter.Difference

// Audit runs an audit and returns the number of leads. It reads every lead, for 1
// read unit each.
//
// If the index lags for longer than the audit waits, which is some seconds, that
// looks like a difference. The next audit undoes a repair of it.
func (t *Table) Audit(ctx context.Context, a Audit) (leads int64, err error) {
	view, err := t.counters.Read(ctx, tenantName(a.Tenant), counter.All, nil)
	if err != nil {
		return 0, toStoreError(err)
	}
	values := map[counter.Series]string{counter.All: "leads"}
	counted := map[string]bool{} // days
	err = t.counters.Audit(ctx, counter.Audit{
		Prefix: tenantName(a.Tenant),
		Repair: a.Repair,
		NextDay: func(ctx context.Context, after string) (string, error) {
			if after != "" {
				after += "~" // the end of the day
			}
			ids, _, err := t.readIndex(ctx, a.Tenant, counter.All, indexPart{after, endOfIndex, true}, 1)
			if err != nil || len(ids) == 0 {
				return "", err
			}
			return counter.Day(createdAt(ids[0])), nil
		},
		Count: func(ctx context.Context, from, to string, count func(counter.Series, string)) error {
			isNew := !counted[from]
			counted[from] = true
			for it, err := range t.eachItem(ctx, a.Tenant, from, to) {
				if err != nil {
					return err
				}
				l, indexed := leadFromItem(it), stringOf(it[attrIndexed])
				if isNew && from == counter.Day(from) {
					if leads++; leads%1000 == 0 {
						a.Progress(leads, max(leads, view.Total()))
					}
				}
				if indexed == "" {
					continue // of an older version
				}
				count(counter.All, createdAt(l.ID))
				for field, s := range placeOf(&l, indexed) {
					if isCounted(field) {
						values[s] = "leads with " + lead.Fields[field].Name + "=" + l.Values[field].(string)
						count(s, createdAt(l.ID))
					}
				}
			}
			return nil
		},
		Write: func(ctx context.Context, change func(time.Time) *counter.Change) error {
			return t.writeTransaction(ctx, a.Tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
				return nil, change(at), nil
			})
		},
		Describe: func(s counter.Series) string {
			if name, ok := values[s]; ok {
				return name
			}
			return "leads of the series " + string(s)
		},
		Found: a.Found,
		Sleep: t.sleep,
	})
	a.Progress(leads, max(leads, view.Total()))
	return leads, err
}
