package lead

import "strings"

// A Mode separates an account's trial data from its real data.
type Mode string

const (
	Test Mode = "test"
	Live Mode = "live"
)

// Valid reports whether m is one of the modes.
func (m Mode) Valid() bool { return m == Test || m == Live }

// A Tenant is what leads and idempotency records belong to: one account in one
// mode. Nothing crosses from one tenant to another.
type Tenant struct {
	Account string // see ValidAccount
	Mode    Mode
}

// ValidAccount reports whether name can name an account: 1 to 32 lower-case
// letters, digits and hyphens, with no hyphen at either end. That is a DNS
// label (RFC 1123, section 2.1): safe in logs, in keys of a table and in host
// names.
func ValidAccount(name string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	return 1 <= len(name) && len(name) <= 32 &&
		strings.Trim(name, alphanumeric+"-") == "" &&
		name[0] != '-' && name[len(name)-1] != '-'
}
