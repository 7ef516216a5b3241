package lead

import (
	"errors"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// ErrFilterOff means that the deployment keeps no index of the field of a filter.
var ErrFilterOff = errors.New("this deployment does not filter by this field")

// FilterNames are the names of the fields that lists can be filtered by.
var FilterNames = [...]string{"status", "lead_owner", "email_id"}

// Filter selects the leads whose field has a value.
type Filter struct {
	Field int // an index into Fields, of a field in FilterNames
	Value string
}

// FilterKey returns the text by which a filter compares values of a field: the
// value itself, or [EmailKey] of it. It returns false for a value that no filter
// finds: one that was never set, or that is not an e-mail address.
func FilterKey(field int, value any) (key string, ok bool) {
	text, ok := value.(string)
	if ok && Fields[field].Kind == Email {
		return EmailKey(text)
	}
	return text, ok
}

// EmailKey returns the text by which two e-mail addresses are compared: in lower
// case by code point, in NFC, with the domain in the ASCII form of UTS #46
// (non-transitional). A label of the domain that has no such form stays as it is
// in lower case. It returns false for "", for what is not a valid address, and
// for the documentation placeholder.
func EmailKey(address string) (key string, ok bool) {
	if address == "" || address == placeholder || !validEmail(address) {
		return "", false
	}
	key = norm.NFC.String(strings.Map(unicode.ToLower, address))
	at := strings.LastIndexByte(key, '@')
	local, domain := key[:at+1], key[at+1:]
	if strings.HasPrefix(domain, "[") { // an address literal
		return key, true
	}
	labels := strings.Split(domain, ".")
	for i, label := range labels {
		if ascii, err := domainLabels.ToASCII(label); err == nil && ascii != "" {
			labels[i] = ascii
		}
	}
	return local + strings.Join(labels, "."), true
}

var domainLabels = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// MatchName is the name of the field by which an upsert finds a lead.
const MatchName = "email_id"

// MatchKey returns the key by which an upsert with these changes finds a lead: the
// [EmailKey] of their address. It returns what is wrong if they have no address, or
// the documentation placeholder.
func MatchKey(changes []Change) (string, ValidationError) {
	for _, c := range changes {
		if Fields[c.Field].Name != MatchName {
			continue
		}
		address, _ := c.Value.(string)
		if key, ok := EmailKey(address); ok {
			return key, nil
		}
	}
	return "", ValidationError{{
		Param: MatchName, Code: ParameterInvalid,
		Message: "Send the e-mail address of the lead, such as name@example.com, for " + MatchName + ": an upsert finds the lead by it.",
	}}
}
