package dynamo

import (
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"

	"overplane.dev/leads/pkg/lead"
)

// leadCondition returns the condition that the lead exists and that its version
// meets the precondition.
func (t *Table) leadCondition(p lead.Precondition) expression.ConditionBuilder {
	condition := expression.Name(attrPK).AttributeExists()
	if p.Match != nil && !p.Match.Any {
		condition = condition.And(t.versionIn(p.Match.List))
	}
	if p.NoneMatch != nil && p.NoneMatch.Any {
		condition = condition.And(neverTrue())
	} else if p.NoneMatch != nil {
		condition = condition.And(t.versionIn(p.NoneMatch.List).Not())
	}
	return condition
}

// versionIn returns the condition that the version is one of these, at most 100.
func (t *Table) versionIn(versions []int64) expression.ConditionBuilder {
	if len(versions) == 0 {
		return neverTrue()
	}
	var values []expression.OperandBuilder
	for _, v := range versions {
		values = append(values, expression.Value(number(v-t.VersionOffset)))
	}
	return expression.Name(attrVersion).In(values[0], values[1:]...)
}

// neverTrue returns a condition that is false for every item.
func neverTrue() expression.ConditionBuilder {
	return expression.Name(attrPK).AttributeNotExists()
}
