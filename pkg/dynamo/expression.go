package dynamo

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// expression collects the names and values that an expression refers to.
// Names are always referred to, since many are reserved words.
type expression struct {
	names  map[string]string
	values item
}

func (e *expression) name(attribute string) string {
	e.names["#"+attribute] = attribute
	return "#" + attribute
}

func (e *expression) value(v types.AttributeValue) string {
	name := ":" + itoa(int64(len(e.values)))
	e.values[name] = v
	return name
}

// precondition returns the conditions under which a lead is at a version that
// the caller asked for.
func (e *expression) precondition(only lead.Precondition) (conditions []string) {
	if m := only.Match; m != nil && !m.Any {
		conditions = append(conditions, e.among(m.List))
	}
	if m := only.NoneMatch; m != nil {
		if m.Any {
			return append(conditions, "attribute_not_exists(pk)")
		}
		conditions = append(conditions, "NOT "+e.among(m.List))
	}
	return conditions
}

// among returns the condition that the version is one of these, at most
// maxVersions.
func (e *expression) among(versions []int64) string {
	if len(versions) == 0 {
		return "attribute_not_exists(pk)" // never true of a lead
	}
	var values []string
	for _, v := range versions {
		values = append(values, e.value(number(v)))
	}
	return "(" + e.name(attrVersion) + " IN (" + strings.Join(values, ", ") + "))"
}

// maxVersions is how many values IN takes.
const maxVersions = 100

// narrowed returns a precondition that has room in an expression. One that lists
// more is judged by the lead as it is now, and then that very version is asked
// for: a change in between fails it, also one to another version of the list.
func (t *Table) narrowed(ctx context.Context, tenant lead.Tenant, id lead.ID, only lead.Precondition) (lead.Precondition, error) {
	long := func(v *lead.Versions) bool { return v != nil && len(v.List) > maxVersions }
	if !long(only.Match) && !long(only.NoneMatch) {
		return only, nil
	}
	l, err := t.retrieveIf(ctx, tenant, id, only)
	return lead.Precondition{Match: &lead.Versions{List: []int64{l.Version}}}, err
}
