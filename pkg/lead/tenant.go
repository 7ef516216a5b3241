package lead

import "regexp"

// A Mode separates an account's trial data from its real data.
type Mode string

const (
	Test Mode = "test"
	Live Mode = "live"
)

// A Tenant is what leads and idempotency records belong to: one account in one
// mode. Nothing crosses from one tenant to another.
type Tenant struct {
	Account string // see ValidAccount
	Mode    Mode
}

// A DNS label (RFC 1123, section 2.1) of at most 32 characters, in lower case:
// it is safe in logs, in keys of a table and in host names.
var account = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$`)

// ValidAccount reports whether name can name an account: 1 to 32 lower-case
// letters, digits and hyphens, with no hyphen at either end.
func ValidAccount(name string) bool {
	return account.MatchString(name)
}
