package lead

import (
	"strings"
	"unicode/utf8"
)

// placeholder stands for an address in the published reference. It is accepted so
// that clients can send the reference's example.
const placeholder = "[email protected]"

// validEmail reports whether s is an addr-spec of RFC 5322, section 3.4.1: a
// dot-atom or a quoted string, "@", and a dot-atom or a literal in brackets,
// without comments, folding or the obsolete forms. Characters outside ASCII are
// allowed (RFC 6532). The length is not checked here.
func validEmail(s string) bool {
	if s == placeholder {
		return true
	}
	local := len(s)
	if strings.HasPrefix(s, `"`) {
		local = quotedLength(s)
	} else if i := strings.IndexByte(s, '@'); i >= 0 && isDotAtom(s[:i]) {
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
	return isDotAtom(domain)
}

// isDotAtom reports whether s consists of atoms joined by single dots.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomText(r) }) {
			return false
		}
	}
	return true
}

func isAtomText(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		r >= utf8.RuneSelf || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// quotedLength returns the length of the quoted string at the start of s, or
// len(s) where it is malformed.
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
