package lead

import (
	"strings"
	"testing"
)

func TestValidAccount(t *testing.T) {
	for _, name := range []string{"a", "7", "acme", "acme-2", "a--b", strings.Repeat("a", 32)} {
		if !ValidAccount(name) {
			t.Errorf("ValidAccount(%q) = false, want true", name)
		}
	}
	for _, name := range []string{"", "-", "-acme", "acme-", "Acme", "ac me", "acme\n", "äcme", "a#b", strings.Repeat("a", 33)} {
		if ValidAccount(name) {
			t.Errorf("ValidAccount(%q) = true, want false", name)
		}
	}
}
