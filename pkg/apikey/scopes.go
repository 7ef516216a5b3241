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

// scopeNames has the scopes in the order in which String writes them.
var scopeNames = []struct {
	scope Scopes
	name  string
}{
	{Read, "read"},
	{Write, "write"},
}

// ParseScopes parses names of scopes separated by commas: at least one, in any
// order.
func ParseScopes(text string) (Scopes, error) {
	var scopes Scopes
	for name := range strings.SplitSeq(text, ",") {
		scope := scopeNamed(name)
		if scope == 0 {
			return 0, fmt.Errorf("there is no scope %q: give read, write or read,write", name)
		}
		scopes |= scope
	}
	return scopes, nil
}

func scopeNamed(name string) Scopes {
	for _, s := range scopeNames {
		if s.name == name {
			return s.scope
		}
	}
	return 0
}

// Has reports whether s has all of the wanted scopes.
func (s Scopes) Has(wanted Scopes) bool {
	return s&wanted == wanted
}

// String returns the names of the scopes separated by commas: "read,write".
func (s Scopes) String() string {
	var names []string
	for _, known := range scopeNames {
		if s.Has(known.scope) {
			names = append(names, known.name)
		}
	}
	return strings.Join(names, ",")
}
