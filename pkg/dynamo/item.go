package dynamo

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Names of attributes. The fields of a lead have those in [lead.Fields].
const (
	attrPK      = "pk"
	attrSK      = "sk"
	attrTenant  = "tenant"     // partition key of the index
	attrCreated = "created_at" // sort key of the index
	attrUpdated = "u"          // Unix milliseconds
	attrVersion = "v"
	attrExpires = "expires" // Unix seconds; DynamoDB deletes the item some time later

	indexName = "created_at"

	leadSort = "lead" // sort key of a lead
)

// item is an item, or the key of one.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: itoa(n)}
}

func itemKey(pk, sk string) item { return item{attrPK: text(pk), attrSK: text(sk)} }

// tenantName is the first part of the partition key of all items of a tenant.
// The name of an account has no slash, so no two tenants have the same.
func tenantName(t lead.Tenant) string { return t.Account + "/" + string(t.Mode) }

func leadKey(t lead.Tenant, id lead.ID) item {
	return itemKey(tenantName(t)+"/"+string(id), leadSort)
}

// leadID returns the id of the lead that has this key.
func leadID(k item) lead.ID {
	pk := stringOf(k[attrPK])
	return lead.ID(pk[strings.LastIndexByte(pk, '/')+1:])
}

// createdAt returns the sort key of a lead in the index. Sort keys are in the order
// of ids. Each prefix of one is a period of time, such as a day or a second.
func createdAt(id lead.ID) string {
	at := id.Time()
	if at.Year() > 9999 { // sorts like the last time whose year has four digits
		at = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	return counter.Timestamp(at) + id.Random()
}

// idOf returns the id of the lead with this sort key, or "" if it is none.
func idOf(createdAt string) lead.ID {
	cut := min(len(createdAt), len("2006-01-02T15:04:05.000000000Z"))
	at, err := time.Parse(time.RFC3339Nano, createdAt[:cut])
	if err != nil {
		return ""
	}
	id, _ := lead.IDAt(at, createdAt[cut:])
	return id
}

// itemFromLead returns the item of a new lead that has rows in these indexes. Fields
// with their default value are not stored, so an update to the default removes the
// attribute.
func itemFromLead(tenant lead.Tenant, l *lead.Lead, indexed string) item {
	it := leadKey(tenant, l.ID)
	it[attrTenant] = text(tenantName(tenant))
	it[attrCreated] = text(createdAt(l.ID))
	it[attrUpdated] = number(l.UpdatedAt.UnixMilli())
	it[attrVersion] = number(1)
	it[attrIndexed] = text(indexed)
	for i := range lead.Fields {
		if f := &lead.Fields[i]; l.Values[i] != f.Default {
			it[f.Column] = attributeOf(l.Values[i])
		}
	}
	return it
}

// leadFromItem returns the lead that an item holds.
func (t *Table) leadFromItem(it item) lead.Lead { return leadFromItem(it, t.VersionOffset) }

func leadFromItem(it item, versionOffset int64) lead.Lead {
	id := leadID(it)
	l := lead.Lead{
		ID:        id,
		CreatedAt: id.Time(),
		UpdatedAt: time.UnixMilli(intOf(it[attrUpdated])).UTC(),
		Version:   intOf(it[attrVersion]) + versionOffset,
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

// valueOf returns the value of a field that an attribute holds.
func valueOf(a types.AttributeValue) any {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return a.Value
	case *types.AttributeValueMemberBOOL:
		return a.Value
	case *types.AttributeValueMemberN:
		// DynamoDB normalizes numbers: 1.50 becomes 1.5.
		n, _ := lead.ParseNumber(a.Value)
		return n
	}
	return nil
}

// stringOf returns the value of a string attribute, or "" for any other.
func stringOf(a types.AttributeValue) string {
	s, _ := a.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

// intOf returns the value of a number attribute, or 0 for any other.
func intOf(a types.AttributeValue) int64 {
	n, _ := a.(*types.AttributeValueMemberN)
	if n == nil {
		return 0
	}
	i, _ := strconv.ParseInt(n.Value, 10, 64)
	return i
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
