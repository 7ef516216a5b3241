package dynamo

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"

	"overplane.dev/leads/pkg/lead"
)

// maxVersions is how many values the operator IN takes.
const maxVersions = 100

// validatePrecondition returns a [lead.ValidationError] if a precondition lists
// more versions than DynamoDB can compare in one request.
func validatePrecondition(p lead.Precondition) error {
	var invalid lead.ValidationError
	for _, header := range []struct {
		name     string
		versions *lead.Versions
	}{{"If-Match", p.Match}, {"If-None-Match", p.NoneMatch}} {
		if header.versions != nil && len(header.versions.List) > maxVersions {
			invalid = append(invalid, lead.Violation{
				Param:   header.name,
				Code:    lead.ParameterInvalid,
				Message: fmt.Sprintf("Send at most %d entity tags in %s.", maxVersions, header.name),
			})
		}
	}
	if invalid == nil {
		return nil
	}
	return invalid
}

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

// versionIn returns the condition that the version is one of these.
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
