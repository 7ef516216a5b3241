package lead

import (
	"strings"
	"unicode/utf8"
)

// placeholder is what the published reference shows in place of an address. It
// is accepted so that the reference's own object can be sent back.
const placeholder = "[email protected]"

// validEmail reports whether s is an addr-spec of RFC 5322, section 3.4.1: a
// dot-atom or a quoted string, "@", and a dot-atom or a literal in brackets;
// without comments, folding or the obsolete forms. Characters beyond ASCII
// are allowed as RFC 6532 allows them. Its length is not judged here.
func validEmail(s string) bool {
	if s == placeholder {
		return true
	}
	local := len(s)
	if strings.HasPrefix(s, `"`) {
		local = quotedLength(s)
	} else if i := strings.IndexByte(s, '@'); i >= 0 && dotAtom(s[:i]) {
		local = i
	}
	if local >= len(s) || s[local] != '@' {
		return false
	}
	domain := s[local+1:]
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		return ok && !strings.ContainsFunc(literal, func(r rune) bool {
			return r <= ' ' || r == '[' || r == ']' || r == '\\' || r == 0x7f
		})
	}
	return dotAtom(domain)
}

// dotAtom reports whether s is atoms joined by single dots.
func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !atext(r) }) {
			return false
		}
	}
	return true
}

func atext(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		r >= utf8.RuneSelf || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// quotedLength returns the length of the quoted string at the start of s, or
// len(s) where it is not well formed.
func quotedLength(s string) int {
	escaped := false
	for i, r := range s {
		switch {
		case i == 0: // the opening quote
		case r < ' ' && r != '\t', r == 0x7f:
			return len(s)
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			return i + 1
		}
	}
	return len(s)
}
