package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
)

// TestTenantsAreIsolated sends the same requests to two APIs: in one an account has
// leads, in the other it has none. To another account, and to the other mode of
// the account, both must give byte-identical answers on every route.
func TestTenantsAreIsolated(t *testing.T) {
	here := newFixture(t)
	empty := here.newEmptyFixture(t)
	now := time.Now().Truncate(time.Second)
	for _, w := range []*fixture{here, empty} {
		w.table.Now = func() time.Time { return now }
	}
	path := here.create(t, `{"lead_name":"Ada","email_id":"ada@example.org","annual_revenue":7}`)
	created := here.send(t, contract.Main, http.MethodPost, collection, `{"lead_name":"Grace"}`, "Idempotency-Key", "order-1")
	before := here.send(t, contract.Main, http.MethodGet, collection, "")

	variants := map[string][]string{
		"plain":                            nil,
		"If-Match its version":             {"If-Match", created.header.Get("ETag")},
		"If-Match *":                       {"If-Match", "*"},
		"If-None-Match *":                  {"If-None-Match", "*"},
		"If-None-Match its version":        {"If-None-Match", created.header.Get("ETag")},
		"with the idempotency key of main": {"Idempotency-Key", "order-1"},
	}
	for _, other := range []string{contract.OtherAccount, contract.OtherMode} {
		for _, route := range api.Routes() {
			methods := []string{route.Method}
			if route.Method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
			for _, method := range methods {
				for _, variant := range slices.Sorted(maps.Keys(variants)) {
					t.Run(fmt.Sprintf("%s/%s/%s %s", other, route.Name, method, variant), func(t *testing.T) {
						id := strings.TrimPrefix(path, collection+"/")
						target := strings.ReplaceAll(route.Path, "{id}", id)
						if route.Name == api.UpsertLead.Name {
							target += "?match=email_id"
						}
						for _, body := range bodies(route, id) {
							got := here.send(t, other, method, target, body, variants[variant]...)
							want := empty.send(t, other, method, target, body, variants[variant]...)
							if got, want := got.masked(id), want.masked(id); got != want {
								t.Errorf("with the body %q the answer is\n%s\nwhere there is no such lead it is\n%s", body, got, want)
							}
							if strings.Contains(route.Path, "{id}") && body == "" && got.status != http.StatusNotFound {
								t.Errorf("the status is %d", got.status)
							}
						}
					})
				}
			}
		}
	}
	if after := here.send(t, contract.Main, http.MethodGet, collection, ""); after.body != before.body {
		t.Errorf("the leads are\n%s\nwere\n%s", after.body, before.body)
	}
}

// bodies returns the bodies to send to a route: none, and for methods that take a
// body one that would change the lead and two that are refused.
func bodies(route api.Route, id string) []string {
	switch route.Method {
	case http.MethodGet, http.MethodDelete:
		return []string{""}
	}
	valid := `{"lead_name":"Eve","email_id":"ada@example.org","status":null}`
	if route.Name == api.BatchLeads.Name {
		valid = batchOf(`{"method":"update","id":"`+id+`","lead":`+valid+`}`, `{"method":"delete","id":"`+id+`"}`,
			`{"method":"delete","id":"`+id+`","if_match":1}`,
			`{"method":"upsert","match":"email_id","lead":{"email_id":"ada@example.org","status":null},"if_match":1}`,
			`{"method":"create","lead":{"lead_name":"Grace"},"idempotency_key":"order-1"}`)
	}
	return []string{"", valid, `{"nope":1}`, "["}
}

// newEmptyFixture returns a fixture with the same keys and another table, which is
// empty.
func (w *fixture) newEmptyFixture(t *testing.T) *fixture {
	other := *w
	other.table = dynamo.New(w.client, "other")
	if err := other.table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, text := range w.keys {
		id, _, _ := apikey.Parse(text)
		key, err := w.table.FindKey(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.table.CreateKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	other.config.Leads, other.config.Keys = other.table, other.table
	other.start(t)
	return &other
}

var anyID = regexp.MustCompile(`lead_[0-9a-z]{26}`)

// masked returns the whole answer as text, without what differs between two
// answers to the same request: the request id, and ids of other leads than this.
func (a answer) masked(id string) string {
	lines := []string{fmt.Sprint(a.status)}
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "Request-Id" && name != "Date" {
			lines = append(lines, fmt.Sprint(name, a.header[name]))
		}
	}
	lines = append(lines, strings.ReplaceAll(a.body, a.header.Get("Request-Id"), "REQUEST-ID"))
	return anyID.ReplaceAllStringFunc(strings.Join(lines, "\n"), func(found string) string {
		if found == id {
			return found
		}
		return "ANOTHER-LEAD"
	})
}
