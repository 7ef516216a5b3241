package apikey

import "testing"

func TestParseScopes(t *testing.T) {
	for text, want := range map[string]Scopes{
		"read":       Read,
		"write":      Write,
		"read,write": Read | Write,
		"write,read": Read | Write,
		"read,read":  Read,
	} {
		t.Run("reads "+text, func(t *testing.T) {
			if got, err := ParseScopes(text); got != want || err != nil {
				t.Errorf("ParseScopes = %v, %v, want %v", got, err, want)
			}
		})
	}
	for _, text := range []string{"", ",", "read,", "read, write", "READ", "admin", "read write"} {
		t.Run("rejects "+text, func(t *testing.T) {
			if got, err := ParseScopes(text); err == nil {
				t.Errorf("ParseScopes = %v", got)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	for scopes, want := range map[Scopes]string{
		Read:         "read",
		Write:        "write",
		Read | Write: "read,write",
	} {
		if got := scopes.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
	if both := Read | Write; !both.Has(Read) || !both.Has(Write) || !both.Has(both) {
		t.Error("read,write lacks a scope")
	}
	if Read.Has(Write) || Read.Has(Read|Write) || Scopes(0).Has(Read) {
		t.Error("a set has a scope that is not in it")
	}
}
