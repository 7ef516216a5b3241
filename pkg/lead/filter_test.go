package lead

import (
	"testing"
	"time"
)

func TestEmailKey(t *testing.T) {
	for address, want := range map[string]string{
		"Ann@Example.org":          "ann@example.org",
		"ann+tag@example.org":      "ann+tag@example.org",
		"a.n.n@example.org":        "a.n.n@example.org",
		"ÄNN@example.org":          "änn@example.org",
		"a\u0308nn@example.org":    "änn@example.org", // NFC
		"ann@Bücher.example":       "ann@xn--bcher-kva.example",
		"ann@XN--bcher-kva.de":     "ann@xn--bcher-kva.de",
		"ann@straße.de":            "ann@xn--strae-oqa.de", // non-transitional
		"ann@ex_ample.org":         "ann@ex_ample.org",
		"ann@a\u0300\u0300-.B.org": "ann@à\u0300-.b.org", // has no ASCII form
		`"A@b"@example.org`:        `"a@b"@example.org`,
		"ann@[IPv6:FE80::1]":       "ann@[ipv6:fe80::1]",
		"":                         "",
		"ann":                      "",
		"ann@":                     "",
		placeholder:                "",
	} {
		if got, ok := EmailKey(address); got != want || ok != (want != "") {
			t.Errorf("%q has the key %q, %v, want %q", address, got, ok, want)
		}
	}
}

func TestIDBytes(t *testing.T) {
	var ids IDGenerator
	for range 1000 {
		id := ids.Next(time.Now())
		if got := IDOfBytes(id.Bytes()); got != id {
			t.Fatalf("%s came back as %s", id, got)
		}
		if got, ok := IDAt(id.Time(), id.Random()); got != id || !ok {
			t.Fatalf("%s came back as %s", id, got)
		}
	}
}
