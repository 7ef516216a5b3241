package dynamo

import (
	"slices"
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

// among returns the condition that the version is one of these. IN takes at
// most a hundred values.
func (e *expression) among(versions []int64) string {
	if len(versions) == 0 {
		return "attribute_not_exists(pk)" // never true of a lead
	}
	var any []string
	for some := range slices.Chunk(versions, 100) {
		var values []string
		for _, v := range some {
			values = append(values, e.value(number(v)))
		}
		any = append(any, e.name(attrVersion)+" IN ("+strings.Join(values, ", ")+")")
	}
	return "(" + strings.Join(any, " OR ") + ")"
}
