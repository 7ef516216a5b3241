package apikey

import (
	"fmt"
	"strings"
)

// Scopes is a set of permissions.
type Scopes uint8

const (
	Read  Scopes = 1 << iota // retrieve and list: GET and HEAD
	Write                    // create, update and delete: all other methods
)

// ParseScopes parses names of scopes separated by commas: at least one, in any
// order.
func ParseScopes(text string) (Scopes, error) {
	var scopes Scopes
	for name := range strings.SplitSeq(text, ",") {
		switch name {
		case "read":
			scopes |= Read
		case "write":
			scopes |= Write
		default:
			return 0, fmt.Errorf("there is no scope %q: give read, write or read,write", name)
		}
	}
	return scopes, nil
}

// Has reports whether s has all of the wanted scopes.
func (s Scopes) Has(wanted Scopes) bool { return s&wanted == wanted }

// String returns the names of the scopes separated by commas: "read,write".
func (s Scopes) String() string {
	switch s {
	case Read:
		return "read"
	case Write:
		return "write"
	case Read | Write:
		return "read,write"
	}
	return ""
}
