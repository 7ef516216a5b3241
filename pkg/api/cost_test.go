package api_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// wantCost checks the requests since the last reset of the meter, and their units
// as the database reports them.
func (w *fixture) wantCost(t *testing.T, what string, requests int, read, write float64) {
	t.Helper()
	gotRequests, gotRead, gotWrite := w.meter.Cost()
	if gotRequests != requests || gotRead != read || gotWrite != write {
		t.Errorf("%s: %d requests, %v read and %v write units, want %d, %v, %v: %v",
			what, gotRequests, gotRead, gotWrite, requests, read, write, w.meter.Requests())
	}
	w.meter.Reset()
}

// newWarmFixture returns a fixture whose API has cached the key.
func newWarmFixture(t *testing.T) *fixture {
	w := newFixture(t)
	w.send(t, contract.Main, http.MethodGet, someLead, "")
	w.meter.Reset()
	return w
}

// allFields returns the body of a lead with all fields, and texts of this length.
func allFields(length int) string {
	var members []string
	for _, f := range lead.Fields {
		switch value := strings.Repeat("x", length); f.Kind {
		case lead.Text:
			members = append(members, fmt.Sprintf("%q:%q", f.Name, value))
		case lead.Email:
			members = append(members, fmt.Sprintf("%q:%q", f.Name, "a@b."+value[4:]))
		case lead.Boolean:
			members = append(members, fmt.Sprintf("%q:true", f.Name))
		case lead.Decimal:
			members = append(members, fmt.Sprintf("%q:%s", f.Name, strings.Repeat("9", min(length, 38))))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestCostOfALead(t *testing.T) {
	reference, err := os.ReadFile("../lead/testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		outcome        string
		body           string
		create, update float64 // write units
	}{
		{"a lead with defaults", "{}", 9, 1},
		{"the reference's own lead", string(reference), 9, 1},
		{"a lead with every field of 15 characters", allFields(15), 11, 1},
		{"a lead of up to 2 KB", allFields(40), 13, 2},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w := newWarmFixture(t)
			path := w.create(t, c.body)
			w.wantCost(t, "create", 1, 0, c.create)

			w.send(t, contract.Main, http.MethodGet, path, "")
			w.wantCost(t, "retrieve", 1, 1, 0)
			w.send(t, contract.Main, http.MethodHead, path, "")
			w.wantCost(t, "head", 1, 1, 0)

			w.send(t, contract.Main, http.MethodPatch, path, `{"city":"Lagos"}`)
			w.wantCost(t, "update", 1, 0, c.update)
			w.send(t, contract.Main, http.MethodPatch, path, `{"city":null,"disabled":null}`, "If-Match", "*")
			w.wantCost(t, "update with a condition", 1, 0, c.update)
			w.send(t, contract.Main, http.MethodPatch, path, `{"status":"Open"}`)
			w.wantCost(t, "change of status", 2, 1, 2*c.update+6)
			w.send(t, contract.Main, http.MethodPatch, path, `{}`)
			w.wantCost(t, "update of nothing", 1, 1, 0)

			w.send(t, contract.Main, http.MethodPost, collection, "[")
			w.send(t, contract.Main, http.MethodPatch, path, `{"city":7}`)
			w.send(t, contract.Main, http.MethodGet, path+"?a=1", "")
			w.send(t, contract.Main, http.MethodDelete, collection+"/nobody", "")
			w.wantCost(t, "refused requests", 0, 0, 0)
		})
	}
}

// TestCostOfDelete deletes leads of up to 1 KB: in the ten minutes in which they
// were created, and later, when one more counter item is written.
func TestCostOfDelete(t *testing.T) {
	w := newWarmFixture(t)
	now := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
	w.table.Now = func() time.Time { return now }
	w.meter.Now = w.table.Now
	first, second := w.create(t, allFields(15)), w.create(t, allFields(15))
	for _, c := range []struct {
		outcome string
		path    string
		after   time.Duration
		most    float64
	}{
		{"in the window of its creation", first, time.Minute, 11},
		{"in a later window", second, time.Hour, 15},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w.meter.Reset()
			now = now.Add(c.after)
			if gone := w.send(t, contract.Main, http.MethodDelete, c.path, ""); gone.status != http.StatusOK {
				t.Fatalf("delete: %d %s", gone.status, gone.body)
			}
			requests, read, write := w.meter.Cost()
			if requests != 2 || read != 1 || write == 0 || write > c.most {
				t.Errorf("it costs %d requests, %v read and %v write units, want 2, 1 and at most %v", requests, read, write, c.most)
			}
		})
	}
}

// TestKeyIsReadOnce counts the reads of an API key.
func TestKeyIsReadOnce(t *testing.T) {
	w := newFixture(t)
	path := someLead
	w.send(t, contract.Main, http.MethodGet, path, "")
	w.wantCost(t, "the first call", 2, 2, 0)
	for range 20 {
		w.send(t, contract.Main, http.MethodGet, path, "")
	}
	w.wantCost(t, "20 calls", 20, 20, 0)

	for range 20 {
		if refused := w.send(t, "", http.MethodGet, path, "", "Authorization", "Bearer "+w.keys[contract.Main]+"x"); refused.status != http.StatusUnauthorized {
			t.Errorf("the status is %d", refused.status)
		}
	}
	w.wantCost(t, "a malformed key", 0, 0, 0)
}

func TestRevokedKeyStopsWithin30Seconds(t *testing.T) {
	w := newFixture(t)
	now := time.Now()
	w.config.Now = func() time.Time { return now }
	w.start(t)
	path := w.create(t, "{}")
	id, _, _ := apikey.Parse(w.keys[contract.Main])
	if err := w.table.RevokeKey(t.Context(), id, now); err != nil {
		t.Fatal(err)
	}
	if still := w.send(t, contract.Main, http.MethodGet, path, ""); still.status != http.StatusOK {
		t.Fatalf("the key is not cached, so this test proves nothing: %d", still.status)
	}
	for range 3 { // requests in the meantime do not prolong its use
		now = now.Add(10 * time.Second)
		w.send(t, contract.Main, http.MethodGet, path, "")
	}
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
		if refused := w.send(t, contract.Main, method, path, ""); refused.status != http.StatusUnauthorized {
			t.Errorf("%s 30 seconds after the key was revoked: %d", method, refused.status)
		}
	}
}
