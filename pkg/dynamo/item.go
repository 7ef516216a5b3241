package dynamo

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// itemOf returns the item of a lead that is new. A field at its default is not
// stored, so that clearing one is removing its attribute.
func itemOf(tenant lead.Tenant, l *lead.Lead) item {
	it := leadKey(tenant, l.ID)
	it[attrTenant] = text(tenantName(tenant))
	it[attrCreated] = text(createdAt(l.ID))
	it[attrUpdated] = number(l.UpdatedAt.UnixMilli())
	it[attrVersion] = number(l.Version)
	for i := range lead.Fields {
		if f := &lead.Fields[i]; l.Values[i] != f.Default {
			it[f.Column] = attributeOf(l.Values[i])
		}
	}
	return it
}

// leadOf reads an item of a lead.
func leadOf(it item) lead.Lead {
	id := leadID(it)
	l := lead.Lead{
		ID:        id,
		CreatedAt: id.Time(),
		UpdatedAt: time.UnixMilli(intOf(it[attrUpdated])).UTC(),
		Version:   intOf(it[attrVersion]),
		Values:    lead.Defaults(),
	}
	for i := range lead.Fields {
		if a, ok := it[lead.Fields[i].Column]; ok {
			l.Values[i] = valueOf(a)
		}
	}
	return l
}

// attributeOf returns the attribute that holds the value of a field.
func attributeOf(value any) types.AttributeValue {
	switch v := value.(type) {
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case lead.Number:
		return &types.AttributeValueMemberN{Value: string(v)}
	default:
		return text(v.(string))
	}
}

func valueOf(a types.AttributeValue) any {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return a.Value
	case *types.AttributeValueMemberBOOL:
		return a.Value
	case *types.AttributeValueMemberN:
		// The database writes an equal number in a way of its own.
		n, _ := lead.ParseNumber(a.Value)
		return n
	}
	return nil
}

func stringOf(a types.AttributeValue) string {
	s, _ := a.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func intOf(a types.AttributeValue) int64 {
	n, _ := a.(*types.AttributeValueMemberN)
	if n == nil {
		return 0
	}
	i, _ := strconv.ParseInt(n.Value, 10, 64)
	return i
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
