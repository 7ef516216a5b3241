package dynamo

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
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
// read unit each, and again those of a day in which something differs. It also
// counts the index rows of each value of a filter, a unit for some 50 rows, but not
// those of e-mail addresses.
//
// If the index lags for longer than the audit waits, which is some seconds, that
// looks like a difference. The next audit undoes a repair of it.
func (t *Table) Audit(ctx context.Context, a Audit) (leads int64, err error) {
	total, err := t.Count(ctx, a.Tenant)
	if err != nil {
		return 0, err
	}
	names, read := map[counter.Series]string{counter.All: "leads"}, int64(0)
	leadsOf := map[string]map[counter.Series]int64{} // by the time from which they were created
	leads, err = t.counters.Audit(ctx, counter.Audit{
		Prefix: tenantName(a.Tenant),
		Repair: a.Repair,
		Things: func(ctx context.Context, from, to string) iter.Seq2[counter.Thing, error] {
			leadsOf[from] = map[counter.Series]int64{}
			return func(yield func(counter.Thing, error) bool) {
				for it, err := range t.eachItem(ctx, a.Tenant, from, to) {
					var thing counter.Thing
					if err == nil {
						thing = thingOf(it, names)
						for _, s := range thing.Series {
							leadsOf[from][s]++
						}
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
	if err != nil {
		return 0, err
	}
	delete(leadsOf, "") // the first lead, which was read again
	delete(names, counter.All)
	for s, name := range names {
		n := int64(0)
		for _, ofDay := range leadsOf {
			n += ofDay[s]
		}
		if err := t.auditRows(ctx, a, s, name, n); err != nil {
			return 0, err
		}
	}
	return leads, nil
}

// auditRows compares the number of rows of a filter with the number of leads that
// was counted, and if that differs, with what the counters say before and after:
// others may write.
func (t *Table) auditRows(ctx context.Context, a Audit, s counter.Series, name string, leads int64) error {
	before := leads
	for looks := 1; ; looks++ {
		rows, _, err := t.readIndex(ctx, a.Tenant, s, indexPart{before: endOfIndex}, 0)
		if err != nil {
			return err
		}
		n := int64(len(rows))
		if n == leads {
			return nil
		}
		view, err := t.counters.Read(ctx, tenantName(a.Tenant), s, true)
		if err != nil {
			return toStoreError(err)
		}
		after := view.Total()
		if looks > 1 && min(before, after) <= n && n <= max(before, after) {
			return nil
		}
		if before = after; looks < 3 {
			if err := t.sleep(ctx, time.Second); err != nil {
				return err
			}
			continue
		}
		a.Found(Difference{Of: "index rows of " + name, Says: n, ShouldBe: after})
		if a.Repair {
			return t.repairRows(ctx, a.Tenant, s, rows)
		}
		return nil
	}
}

// repairRows puts the index rows of a series that are missing, and deletes those
// without a lead. These rows were there.
func (t *Table) repairRows(ctx context.Context, tenant lead.Tenant, s counter.Series, rows []lead.ID) error {
	isWrong := map[lead.ID]bool{}
	for _, id := range rows {
		isWrong[id] = true
	}
	for it, err := range t.eachItem(ctx, tenant, "", endOfIndex) {
		if err != nil {
			return err
		}
		switch id := leadID(it); {
		case !hasRow(it, s):
		case isWrong[id]:
			delete(isWrong, id)
		default:
			isWrong[id] = true
		}
	}
	for id := range isWrong {
		if err := t.repairRow(ctx, tenant, s, id); err != nil {
			return err
		}
	}
	return nil
}

// repairRow puts or deletes the index row of a lead, if the lead is unchanged
// meanwhile.
func (t *Table) repairRow(ctx context.Context, tenant lead.Tenant, s counter.Series, id lead.ID) error {
	is, err := t.getItem(ctx, leadKey(tenant, id))
	if err != nil {
		return err
	}
	condition := expression.Name(attrVersion).AttributeNotExists()
	if is != nil {
		condition = expression.Name(attrVersion).Equal(expression.Value(is[attrVersion])).And(hasIndexed(stringOf(is[attrIndexed])))
	}
	expr, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return err
	}
	writes := []types.TransactWriteItem{{ConditionCheck: &types.ConditionCheck{
		TableName:                 &t.name,
		Key:                       leadKey(tenant, id),
		ConditionExpression:       expr.Condition(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
	}}, {Delete: &types.Delete{TableName: &t.name, Key: rowKey(tenant, s, id)}}}
	if hasRow(is, s) {
		writes[1] = types.TransactWriteItem{Put: &types.Put{TableName: &t.name, Item: rowKey(tenant, s, id)}}
	}
	err = t.writeTransaction(ctx, tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
		return writes, counter.NewChange(at), nil
	})
	if conditionFailed(cancellationReason(err, 0)) { // its rows were written with the change
		return nil
	}
	return err
}

// hasRow reports whether the lead that is stored as this item, or none, must have
// a row in the index of a series.
func hasRow(it item, s counter.Series) bool {
	if it == nil {
		return false
	}
	l := leadFromItem(it, 0)
	for _, of := range placeOf(&l, stringOf(it[attrIndexed])) {
		if of == s {
			return true
		}
	}
	return false
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
