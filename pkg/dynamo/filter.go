package dynamo

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// A filter has an index: a row for each lead in the partition of its value. Rows
// are written in the transaction of the lead, so that they never lag. The leads
// of a value are also counted as a series, but those of an e-mail address are
// not: they are few, and their number is that of their rows.
//
// Each lead says in an attribute in which indexes it has rows. So processes with
// different settings can work side by side, see [Table.Reindex].
const (
	attrIndexed = "f"

	// notIndexed is the value of attrIndexed for a lead without rows. A lead that
	// an older version created has no such attribute, and is not counted.
	notIndexed = "-"
)

// indexed returns the value of attrIndexed for leads that this table creates.
func (t *Table) indexed() string {
	var columns []string
	for _, field := range filterFields() {
		if t.hasFilter(field) {
			columns = append(columns, lead.Fields[field].Column)
		}
	}
	if columns == nil {
		return notIndexed
	}
	return strings.Join(columns, ",")
}

// filterFields are the indexes into [lead.Fields] of all fields that can have a
// filter.
func filterFields() (fields []int) {
	for _, name := range lead.FilterNames {
		fields = append(fields, lead.FieldNamed(name))
	}
	return fields
}

// isIndexed reports whether a value of attrIndexed contains a field.
func isIndexed(indexed string, field int) bool {
	return strings.Contains(indexed, lead.Fields[field].Column)
}

// isCounted reports whether the leads with each value of a field are counted.
func isCounted(field int) bool { return lead.Fields[field].Kind != lead.Email }

// seriesOf returns the series of the leads with this value in a field. It returns
// false for a value that no filter finds.
func seriesOf(field int, value any) (s counter.Series, ok bool) {
	key, ok := lead.FilterKey(field, value)
	if !ok {
		return "", false
	}
	return counter.SeriesOf(lead.Fields[field].Name, key), true
}

// place is the position of a lead in the filtered lists: a series for each field.
type place map[int]counter.Series

// placeOf returns where the index rows of a lead are, if it has rows in these
// indexes.
func placeOf(l *lead.Lead, indexed string) place {
	p := place{}
	for _, field := range filterFields() {
		if s, ok := seriesOf(field, l.Values[field]); ok && isIndexed(indexed, field) {
			p[field] = s
		}
	}
	return p
}

// moveLead returns the writes that move the index rows of a lead from one place to
// another, and counts the move.
func (t *Table) moveLead(tenant lead.Tenant, id lead.ID, from, to place, change *counter.Change) (writes []types.TransactWriteItem) {
	for _, field := range filterFields() {
		old, wasThere := from[field]
		s, isThere := to[field]
		if wasThere == isThere && old == s {
			continue
		}
		count := func(s counter.Series, n int64) {
			if isCounted(field) {
				change.Count(s, id.Time(), n)
			}
		}
		if wasThere {
			writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{TableName: &t.name, Key: rowKey(tenant, old, id)}})
			count(old, -1)
		}
		if isThere {
			writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &t.name, Item: rowKey(tenant, s, id)}})
			count(s, 1)
		}
	}
	return writes
}

// createRows returns the writes of the index rows of a new lead, and counts the
// lead.
func (t *Table) createRows(tenant lead.Tenant, l *lead.Lead, indexed string, change *counter.Change) []types.TransactWriteItem {
	change.Count(counter.All, l.CreatedAt, 1)
	change.Recent(l.ID.Bytes(), true)
	return t.moveLead(tenant, l.ID, nil, placeOf(l, indexed), change)
}

// rowKey returns the key of the row of a lead in the index of a series. The row
// has no other attributes.
func rowKey(tenant lead.Tenant, s counter.Series, id lead.ID) item {
	return itemKey(rowsOf(tenant, s), createdAt(id))
}

func rowsOf(tenant lead.Tenant, s counter.Series) string {
	return tenantName(tenant) + "/by/" + string(s)
}

// hasFilter reports whether the table is configured with the filter of a field.
func (t *Table) hasFilter(field int) bool {
	return slices.Contains(t.Filters, lead.Fields[field].Name)
}
