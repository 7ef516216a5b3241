package dynamo

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"overplane.dev/leads/pkg/lead"
)

// TestHashOfValues fails if a version writes another hash for the same values than
// the versions before: it would refuse their idempotency keys.
func TestHashOfValues(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: "",
		`{"status":"Lead","disabled":false,"city":null}`:                           "",
		`{"status":"","lead_name":"Ada é","disabled":true,"annual_revenue":12.50}`: "ar 4 12.5\ndi 4 true\nln 6 Ada é\nst 0 \n",
	} {
		changes, err := lead.ParseChanges([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		l := lead.Lead{Values: lead.Defaults()}
		l.Values.Apply(changes)
		sum := sha256.Sum256([]byte(want))
		if !bytes.Equal(hashValues(&l), sum[:]) {
			t.Errorf("the hash of %s is not that of %q", body, want)
		}
	}
}
