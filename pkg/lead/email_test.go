package lead

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var (
	addresses = []string{
		"a@b", "ada@example.com", "Ada.Lovelace+crm@Example.COM", "1@2.3", "!#$%&'*+-/=?^_`{|}~@example.com", "a@b_c-d.example",
		`"ada lovelace"@example.com`, `"a@b"@example.com`, `"a..b."@example.com`, `"a\"b\\c"@example.com`, `""@example.com`,
		"\"\t\"@b", `"\ "@b`, "\"\\\t\"@b", `"()<>[]:;,."@b`, `"é"@b`, `"\é"@b`,
		"ada@[192.0.2.1]", "ada@[IPv6:2001:db8::1]", `"a"@[x]`, "a@[]", `a@["(),:;<>@]`,
		"jürgen@bücher.example", "用户@例え.テスト", "🙂@🙂", "a\u0080@b",
		"[email protected]",
	}
	invalidAddresses = []string{
		"ada", "@", "ada@", "@example.com", "a@b@c", ".a@b", "a.@b", "a..b@c", "a@.b", "a@b.", "a@b..c",
		"a b@c", " a@b", "a@b ", "a@b\n", " ", "a\t@b", "a@b\x00", "a\x7f@b", "a@b\x7f",
		"Ada <ada@example.com>", "<ada@example.com>", "a@b,c@d", "mailto:a@b", "a;b@c", `a"b@c`, `a\b@c`, "a[@b", "a@b]c",
		`"a@b`, `"a"b"@c`, `"a"`, `"`, `"a"@`, `"a\"@b`, `"a"b@c`, `a"b"@c`, `"a".b@c`, `a."b"@c`, `"a" @b`,
		"\"a\r\n b\"@c", "\"\x00\"@b", "\"\\\x00\"@b", "\"\x7f\"@b", "\"\n\"@b", "\"\\\n\"@b",
		"a@[b", "a@b]", "a@[b]c", "a@[b]]", "a@[[b]", "a@[b\\c]", "a@[b c]", "a@[b\tc]", "a@[\x7f]", "a@[b].c", "a@c[b]", "a@[",
		"ada(work)@example.com", "ada@(home)example.com", "a . b@example.com", "a@b. c",
		"[email  protected]", "[email]", "[email protected] ", "[EMAIL PROTECTED]", "a@[email protected]",
	}
)

func TestEmailIsAnAddress(t *testing.T) {
	for _, s := range append(addresses, "") {
		changes, err := ParseChanges(member("email_id", s))
		if err != nil || len(changes) != 1 || changes[0].Value != s {
			t.Errorf("%q is refused: %v", s, err)
		}
	}
	for _, s := range invalidAddresses {
		_, err := ParseChanges(member("email_id", s))
		wantViolations(t, err, "email_id", ParameterInvalid)
	}
}

func TestEmailIsAtMost254Bytes(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("a", 252) + "@b", strings.Repeat("é", 126) + "@b", strings.Repeat("語", 84) + "@b", `"` + strings.Repeat(" ", 250) + `"@b`,
	} {
		if _, err := ParseChanges(member("email_id", s)); err != nil {
			t.Errorf("%d bytes: %v", len(s), err)
		}
		_, err := ParseChanges(member("email_id", s+"b"))
		wantViolations(t, err, "email_id", ParameterTooLong)
	}
}

// grammar is RFC 5322 as a regular expression: an addr-spec without CFWS except the
// white space in a quoted string.
var grammar = func() *regexp.Regexp {
	const (
		beyond   = `\x{80}-\x{10FFFF}` // RFC 6532
		atom     = `[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + beyond + `-]+`
		dotAtom  = atom + `(?:\.` + atom + `)*`
		qtext    = `[ \t\x21\x23-\x5b\x5d-\x7e` + beyond + `]`
		pair     = `\\[ \t\x21-\x7e` + beyond + `]`
		quoted   = `"(?:` + qtext + `|` + pair + `)*"`
		dtext    = `[\x21-\x5a\x5e-\x7e` + beyond + `]`
		literal  = `\[` + dtext + `*\]`
		addrSpec = `(?:` + dotAtom + `|` + quoted + `)@(?:` + dotAtom + `|` + literal + `)`
	)
	return regexp.MustCompile(`^(?:` + addrSpec + `|\[email protected\])$`)
}()

func TestEmailAgreesWithTheGrammar(t *testing.T) {
	// Often a valid address, and often not.
	piece := rapid.SampledFrom([]string{
		"a", "b.c", "@", "@", ".", `"`, `"x y"`, `\`, `\"`, "[", "]", "[1.2]", " ", "\t", "\n", "\x00", "\x7f", "\u0080", "é", "語", "🙂",
		"(", ")", "<", ">", ":", ";", ",", "!#$%&'*+-/=?^_`{|}~",
	})
	rapid.Check(t, func(t *rapid.T) {
		var s string
		if rapid.Bool().Draw(t, "from an address") {
			s = rapid.SampledFrom(addresses).Draw(t, "address")
			if rapid.Bool().Draw(t, "changed") {
				at := rapid.IntRange(0, utf8.RuneCountInString(s)).Draw(t, "at")
				runes := []rune(s)
				s = string(runes[:at]) + piece.Draw(t, "piece") + string(runes[at:])
			}
		} else {
			s = strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), "")
		}
		if got, want := validEmail(s), grammar.MatchString(s); got != want {
			t.Fatalf("validEmail(%q) = %t, want %t", s, got, want)
		}
	})
}
