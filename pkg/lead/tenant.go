package lead

import "strings"

// Mode separates an account's test data from its real data.
type Mode string

const (
	Test Mode = "test"
	Live Mode = "live"
)

// Valid reports whether m is one of the modes.
func (m Mode) Valid() bool { return m == Test || m == Live }

// Tenant is an account in one mode. Every lead and every idempotency record belongs
// to one tenant, and is not visible to others.
type Tenant struct {
	Account string // see ValidAccount
	Mode    Mode
}

// ValidAccount reports whether name can name an account: 1 to 32 lower-case
// letters, digits and hyphens, with no hyphen at either end. Such a name is a DNS
// label (RFC 1123, section 2.1), and safe in logs and in keys of a table.
func ValidAccount(name string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	return 1 <= len(name) && len(name) <= 32 &&
		strings.Trim(name, alphanumeric+"-") == "" &&
		name[0] != '-' && name[len(name)-1] != '-'
}
