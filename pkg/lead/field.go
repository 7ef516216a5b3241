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
	short    = 140  // characters of an ordinary field
	address  = 2048 // characters of a web address
	emailMax = 254  // bytes of an e-mail address (RFC 3696, erratum 1690)
)

// Fields are the writable fields, in the order of the reference. Stored names
// are two letters because they count: a lead of up to 1 KB is written for half
// the price of a larger one.
var Fields = [...]Field{
	{Name: "lead_name", Column: "ln", Max: short},
	{Name: "company_name", Column: "cn", Max: short},
	{Name: "email_id", Column: "em", Kind: Email, Max: emailMax},
	{Name: "lead_owner", Column: "lo", Max: short, Default: "__user"},
	{Name: "status", Column: "st", Max: short, Default: "Lead"},
	{Name: "salutation", Column: "sa", Max: short},
	{Name: "gender", Column: "ge", Max: short},
	{Name: "customer", Column: "cu", Max: short},
	{Name: "image", Column: "im", Max: address},
	{Name: "phone", Column: "ph", Max: short},
	{Name: "mobile_no", Column: "mo", Max: short},
	{Name: "fax", Column: "fa", Max: short},
	{Name: "type", Column: "ty", Max: short},
	{Name: "market_segment", Column: "ms", Max: short},
	{Name: "industry", Column: "in", Max: short},
	{Name: "request_type", Column: "rt", Max: short},
	{Name: "company", Column: "co", Max: short},
	{Name: "website", Column: "we", Max: address},
	{Name: "territory", Column: "te", Max: short},
	{Name: "unsubscribed", Column: "un", Kind: Boolean, Default: false},
	{Name: "blog_subscriber", Column: "bs", Kind: Boolean, Default: false},
	{Name: "title", Column: "ti", Max: short},
	{Name: "language", Column: "la", Max: short},
	{Name: "first_name", Column: "fn", Max: short},
	{Name: "middle_name", Column: "mn", Max: short},
	{Name: "last_name", Column: "sn", Max: short},
	{Name: "no_of_employees", Column: "ne", Max: short},
	{Name: "whatsapp_no", Column: "wa", Max: short},
	{Name: "phone_ext", Column: "pe", Max: short},
	{Name: "qualified_by", Column: "qb", Max: short},
	{Name: "qualified_on", Column: "qo", Max: short},
	{Name: "qualification_status", Column: "qs", Max: short},
	{Name: "job_title", Column: "jt", Max: short},
	{Name: "annual_revenue", Column: "ar", Kind: Decimal},
	{Name: "disabled", Column: "di", Kind: Boolean, Default: false},
	{Name: "city", Column: "ci", Max: short},
	{Name: "state", Column: "sp", Max: short},
	{Name: "country", Column: "cy", Max: short},
	{Name: "utm_content", Column: "uc", Max: short},
	{Name: "utm_source", Column: "us", Max: short},
	{Name: "utm_medium", Column: "um", Max: short},
	{Name: "utm_campaign", Column: "up", Max: short},
}

// readOnly are the members of a lead that a client may send back and that are
// then ignored.
var readOnly = []string{"id", "created_at", "updated_at"}

// fieldNamed returns the index of the field with this JSON name, or -1. Names
// are case-sensitive.
func fieldNamed(name string) int {
	return slices.IndexFunc(Fields[:], func(f Field) bool { return f.Name == name })
}

// nearestName returns the name of a member that a misspelt one most likely meant,
// or "" when it has no letter in common with any.
func nearestName(name string) (nearest string) {
	if len(name) > 64 { // no field is meant, and the comparison costs its square
		return ""
	}
	best := 0.0
	consider := func(known string) {
		if s := similarity(name, known); s > best {
			best, nearest = s, known
		}
	}
	for i := range Fields {
		consider(Fields[i].Name)
	}
	for _, known := range readOnly {
		consider(known)
	}
	return nearest
}

// similarity is the share of two names that they have in common, from 0 to 1:
// their longest common subsequence of bytes. Unlike the number of edits it
// knows a part of a name, email of email_id. Case counts for nothing, since
// wrong case is the likeliest slip.
func similarity(a, b string) float64 {
	row := make([]int, len(b)+1)
	for i := range len(a) {
		diagonal := 0
		for j := range len(b) {
			above := row[j+1]
			if lower(a[i]) == lower(b[j]) {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return float64(2*row[len(b)]) / float64(len(a)+len(b))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
