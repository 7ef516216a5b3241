package apikey

import (
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/lead"
)

var (
	acme = lead.Tenant{Account: "acme", Mode: lead.Test}
	noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

func TestNewKey(t *testing.T) {
	for _, mode := range []lead.Mode{lead.Test, lead.Live} {
		t.Run(string(mode)+" keys have the documented format", func(t *testing.T) {
			text, key := NewKey(lead.Tenant{Account: "acme", Mode: mode}, Read, noon, time.Time{})
			random, ok := strings.CutPrefix(text, "sk_"+string(mode)+"_")
			if !ok || len(random) != 12+32+6 {
				t.Fatalf("a key of %d characters starting with %q", len(text), text[:8])
			}
			if random[:12] != key.ID {
				t.Errorf("the text names %q, the record %q", random[:12], key.ID)
			}
			if key.Hash != sha256.Sum256([]byte(text)) {
				t.Error("the record does not hold the SHA-256 of the text")
			}
			body, sum := text[:len(text)-6], text[len(text)-6:]
			if want := slowChecksum(body); sum != want {
				t.Errorf("checksum %q, want %q", sum, want)
			}
		})
	}

	t.Run("keeps its arguments, with times in UTC and whole seconds", func(t *testing.T) {
		elsewhere := time.FixedZone("", 3600)
		now, expires := noon.Add(time.Millisecond).In(elsewhere), noon.Add(time.Hour).In(elsewhere)
		_, key := NewKey(acme, Read|Write, now, expires)
		want := Key{
			ID: key.ID, Hash: key.Hash, Tenant: acme, Scopes: Read | Write,
			CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
		}
		if key != want {
			t.Errorf("got %v, want %v", key, want)
		}
	})

	t.Run("never expires if expires is zero", func(t *testing.T) {
		if _, key := NewKey(acme, Read, noon, time.Time{}); !key.ExpiresAt.IsZero() {
			t.Errorf("expires at %v", key.ExpiresAt)
		}
	})
}

func TestRandomTextIsUniform(t *testing.T) {
	const draws = 62 * 10_000
	count := make(map[rune]int)
	for _, c := range randomText(draws) {
		count[c]++
	}
	if len(count) != 62 {
		t.Errorf("%d different characters, want 62", len(count))
	}
	for c, n := range count {
		// 10,000 are expected, with a standard deviation of 100. Bytes modulo
		// 62 would give '0' to '7' 12,110 times.
		if n < 9_000 || n > 11_000 {
			t.Errorf("%q occurs %d times in %d", c, n, draws)
		}
	}
}

func TestChecksum(t *testing.T) {
	// The check value of CRC-32/ISO-HDLC is CBF43926: 3jZRME in base 62.
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("checksum of 123456789 = %q, want 3jZRME", got)
	}
	if got := checksum(""); got != "000000" {
		t.Errorf("checksum of nothing = %q, want 000000", got)
	}
}

// slowChecksum computes the checksum in another way: bit by bit, and with the
// digits of math/big, which has lower case before upper case.
func slowChecksum(text string) string {
	sum := ^uint32(0)
	for _, b := range []byte(text) {
		sum ^= uint32(b)
		for range 8 {
			carry := sum & 1
			sum >>= 1
			if carry == 1 {
				sum ^= 0xEDB88320
			}
		}
	}
	digits := new(big.Int).SetUint64(uint64(^sum)).Text(62)
	digits = strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z':
			return c - 'A' + 'a'
		}
		return c
	}, digits)
	return strings.Repeat("0", 6-len(digits)) + digits
}

func TestParse(t *testing.T) {
	text, key := NewKey(acme, Read, noon, time.Time{})
	body := text[:len(text)-6]

	t.Run("reads id and mode", func(t *testing.T) {
		id, mode, ok := Parse(text)
		if id != key.ID || mode != lead.Test || !ok {
			t.Errorf("Parse = %q, %q, %v, want %q, test, true", id, mode, ok, key.ID)
		}
	})

	withSum := func(body string) string { return body + slowChecksum(body) }
	random := text[len("sk_test_") : len(text)-6]
	for name, text := range map[string]string{
		"nothing":            "",
		"a prefix alone":     "sk_test_",
		"a shortened key":    text[:len(text)-1],
		"a lengthened key":   text + "0",
		"white space before": " " + text,
		"white space after":  text + "\n",
		"another mode":       withSum("sk_prod_" + random),
		"upper-case prefix":  withSum("SK_TEST_" + random),
		"changed mode":       strings.Replace(text, "test", "live", 1),
		"a hyphen":           withSum(body[:20] + "-" + body[21:]),
		"a non-ASCII letter": withSum(body[:20] + "é" + body[22:]),
		"a NUL":              withSum(body[:20] + "\x00" + body[21:]),
		"a shorter secret":   withSum(body[:len(body)-1]),
		"a longer secret":    withSum(body + "0"),
		"checksum too large": body + "zzzzzz",
	} {
		t.Run("rejects "+name, func(t *testing.T) {
			if id, mode, ok := Parse(text); ok || id != "" || mode != "" {
				t.Errorf("Parse = %q, %q, %v", id, mode, ok)
			}
		})
	}

	t.Run("rejects every change of one character", func(t *testing.T) {
		for i := range len(text) {
			for _, c := range []byte(base62 + "_-") {
				changed := text[:i] + string(c) + text[i+1:]
				if _, _, ok := Parse(changed); ok != (changed == text) {
					t.Fatalf("ok = %v with character %d changed from %q to %q", ok, i, text[i], c)
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, mode := range []lead.Mode{lead.Test, lead.Live} {
		text, _ := NewKey(lead.Tenant{Account: "acme", Mode: mode}, Read, noon, time.Time{})
		f.Add(text)
		f.Add(text[:len(text)-6])
		f.Add(text + text)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		checkParse(t, text)
		checkParse(t, text+slowChecksum(text)) // most mutations have a wrong checksum
	})
}

// checkParse compares Parse with a description of the format that shares no code
// with it.
func checkParse(t *testing.T, text string) {
	id, mode, ok := Parse(text)
	want := len(text) == 58 &&
		(text[:8] == "sk_test_" || text[:8] == "sk_live_") &&
		strings.IndexFunc(text[8:], func(c rune) bool {
			return !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
		}) < 0 &&
		text[52:] == slowChecksum(text[:52])
	if ok != want {
		t.Fatalf("Parse(%q) is ok: %v, want %v", text, ok, want)
	}
	if ok && (id != text[8:20] || string(mode) != text[3:7]) {
		t.Fatalf("Parse(%q) = %q, %q", text, id, mode)
	}
}
