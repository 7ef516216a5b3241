package lead

import "slices"

// Kind is the type of a field's value.
type Kind int

// The kinds of field.
const (
	Text    Kind = iota // a string
	Email               // a string that is empty or an e-mail address
	Boolean             // true or false
	Decimal             // a Number
)

// Field describes one writable field of a lead.
type Field struct {
	Name    string // its name in JSON
	Column  string // the short name under which it is stored; it never changes
	Kind    Kind
	Max     int // greatest length: Unicode code points of a Text, bytes of an Email
	Default any // nil where the field has none
}

const (
	maxText  = 140  // characters of an ordinary field
	maxURL   = 2048 // characters of a web address
	maxEmail = 254  // bytes of an e-mail address (RFC 3696, erratum 1690)
)

// Fields are the writable fields, in the order of the reference. They are stored
// under names of two letters because names count as part of an item's size, and
// an item of up to 1 KB costs half as much to write as a larger one.
var Fields = [...]Field{
	{Name: "lead_name", Column: "ln", Max: maxText},
	{Name: "company_name", Column: "cn", Max: maxText},
	{Name: "email_id", Column: "em", Kind: Email, Max: maxEmail},
	{Name: "lead_owner", Column: "lo", Max: maxText, Default: "__user"},
	{Name: "status", Column: "st", Max: maxText, Default: "Lead"},
	{Name: "salutation", Column: "sa", Max: maxText},
	{Name: "gender", Column: "ge", Max: maxText},
	{Name: "customer", Column: "cu", Max: maxText},
	{Name: "image", Column: "im", Max: maxURL},
	{Name: "phone", Column: "ph", Max: maxText},
	{Name: "mobile_no", Column: "mo", Max: maxText},
	{Name: "fax", Column: "fa", Max: maxText},
	{Name: "type", Column: "ty", Max: maxText},
	{Name: "market_segment", Column: "ms", Max: maxText},
	{Name: "industry", Column: "in", Max: maxText},
	{Name: "request_type", Column: "rt", Max: maxText},
	{Name: "company", Column: "co", Max: maxText},
	{Name: "website", Column: "we", Max: maxURL},
	{Name: "territory", Column: "te", Max: maxText},
	{Name: "unsubscribed", Column: "un", Kind: Boolean, Default: false},
	{Name: "blog_subscriber", Column: "bs", Kind: Boolean, Default: false},
	{Name: "title", Column: "ti", Max: maxText},
	{Name: "language", Column: "la", Max: maxText},
	{Name: "first_name", Column: "fn", Max: maxText},
	{Name: "middle_name", Column: "mn", Max: maxText},
	{Name: "last_name", Column: "sn", Max: maxText},
	{Name: "no_of_employees", Column: "ne", Max: maxText},
	{Name: "whatsapp_no", Column: "wa", Max: maxText},
	{Name: "phone_ext", Column: "pe", Max: maxText},
	{Name: "qualified_by", Column: "qb", Max: maxText},
	{Name: "qualified_on", Column: "qo", Max: maxText},
	{Name: "qualification_status", Column: "qs", Max: maxText},
	{Name: "job_title", Column: "jt", Max: maxText},
	{Name: "annual_revenue", Column: "ar", Kind: Decimal},
	{Name: "disabled", Column: "di", Kind: Boolean, Default: false},
	{Name: "city", Column: "ci", Max: maxText},
	{Name: "state", Column: "sp", Max: maxText},
	{Name: "country", Column: "cy", Max: maxText},
	{Name: "utm_content", Column: "uc", Max: maxText},
	{Name: "utm_source", Column: "us", Max: maxText},
	{Name: "utm_medium", Column: "um", Max: maxText},
	{Name: "utm_campaign", Column: "up", Max: maxText},
}

// readOnly are the members of a lead that only the server sets. Clients may send
// them, and they are ignored.
var readOnly = []string{"id", "created_at", "updated_at"}

// FieldNamed returns the index of the field with this JSON name, or -1. Names
// are case-sensitive.
func FieldNamed(name string) int {
	return slices.IndexFunc(Fields[:], func(f Field) bool { return f.Name == name })
}
