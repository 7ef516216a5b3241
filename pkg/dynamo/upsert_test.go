package dynamo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var cityField = lead.FieldNamed("city")

// upsertOf returns the changes of an upsert of this address.
func upsertOf(address, city string) []lead.Change {
	return []lead.Change{{Field: emailField, Value: address}, {Field: cityField, Value: city}}
}

func atVersion(version int64) lead.Precondition {
	return lead.Precondition{Match: &lead.Versions{List: []int64{version}}}
}

// newUpsertTable returns a table with all filters, and its clock.
func newUpsertTable(t *testing.T) (*dynamo.Table, *dynamotest.Meter, *time.Time) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	table.Filters = lead.FilterNames[:]
	return table, meter, now
}

// mustUpsert upserts an address and fails the test unless the lead is created, or
// updated.
func mustUpsert(t *testing.T, table *dynamo.Table, address, city string, wantCreated bool) lead.Lead {
	t.Helper()
	l, created, err := table.Upsert(t.Context(), acme, upsertOf(address, city), lead.Precondition{})
	if err != nil || created != wantCreated || l.Values[emailField] != address || l.Values[cityField] != city {
		t.Fatalf("upsert of %s: %v with %v and %v, created: %v; %v", address, l.ID, l.Values[emailField], l.Values[cityField], created, err)
	}
	stored, err := table.Retrieve(t.Context(), acme, l.ID)
	if err != nil || stored.Version != l.Version || stored.Values != l.Values {
		t.Fatalf("upsert of %s returned %+v, stored is %+v: %v", address, l, stored, err)
	}
	return l
}

func TestUpsertCreatesOrUpdates(t *testing.T) {
	table, _, _ := newUpsertTable(t)
	first := mustUpsert(t, table, "ann@example.org", "Bonn", true)
	if again := mustUpsert(t, table, "Ann@Example.org", "Köln", false); again.ID != first.ID || again.Version != 2 {
		t.Errorf("the second upsert returned %s at version %d, want %s at 2", again.ID, again.Version, first.ID)
	}
	if _, err := table.Update(t.Context(), acme, first.ID, []lead.Change{{Field: emailField, Value: "bob@example.org"}}, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	second := mustUpsert(t, table, "ann@example.org", "Bonn", true)
	if second.ID == first.ID {
		t.Error("an upsert found a lead by an address that it has no longer")
	}
	if err := table.Delete(t.Context(), acme, second.ID, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	third := mustUpsert(t, table, "ann@example.org", "Bonn", true)
	if _, err := table.Update(t.Context(), acme, first.ID, []lead.Change{{Field: emailField, Value: "ann@example.org"}}, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	_, _, err := table.Upsert(t.Context(), acme, upsertOf("ann@example.org", "Bonn"), atVersion(1))
	var ambiguous *lead.AmbiguousError
	if !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.IDs, []lead.ID{first.ID, third.ID}) {
		t.Errorf("upsert with two leads: %v, want the leads %s and %s", err, first.ID, third.ID)
	}
}

func TestUpsertPreconditions(t *testing.T) {
	table, _, _ := newUpsertTable(t)
	first := mustUpsert(t, table, "ann@example.org", "Bonn", true)
	for _, test := range []struct {
		address string
		only    lead.Precondition
		want    error
	}{
		{"ann@example.org", atVersion(2), lead.ErrPreconditionFailed},
		{"ann@example.org", lead.Precondition{NoneMatch: &lead.Versions{Any: true}}, lead.ErrPreconditionFailed},
		{"bob@example.org", atVersion(1), lead.ErrNotFound},
		{"bob@example.org", lead.Precondition{Match: &lead.Versions{Any: true}}, lead.ErrNotFound},
		{"ann@example.org", atVersion(1), nil},
		{"bob@example.org", lead.Precondition{NoneMatch: &lead.Versions{Any: true}}, nil},
	} {
		if _, _, err := table.Upsert(t.Context(), acme, upsertOf(test.address, "Bonn"), test.only); !errors.Is(err, test.want) {
			t.Errorf("upsert of %s with %+v: %v, want %v", test.address, test.only, err, test.want)
		}
	}
	var invalid lead.ValidationError
	if _, _, err := table.Upsert(t.Context(), acme, upsertOf("", "Bonn"), lead.Precondition{}); !errors.As(err, &invalid) {
		t.Errorf("upsert without an address: %v", err)
	}
	table.Filters = []string{"status"}
	if _, _, err := table.Upsert(t.Context(), acme, upsertOf("ann@example.org", "Bonn"), lead.Precondition{}); err != lead.ErrFilterOff {
		t.Errorf("upsert without the filter email_id: %v, want %v", err, lead.ErrFilterOff)
	}
	if l, err := table.Retrieve(t.Context(), acme, first.ID); err != nil || l.Version != 2 {
		t.Errorf("the lead has version %d, want 2: %v", l.Version, err)
	}
}

// TestConcurrentUpsertsMakeOneLead has 200 upserts of a new address in two processes.
func TestConcurrentUpsertsMakeOneLead(t *testing.T) {
	client, meter := dynamotest.Start(t)
	var created, updated sync.Map
	var group sync.WaitGroup
	for range 2 {
		table := dynamo.New(client, dynamotest.TableName)
		for i := range 100 {
			group.Go(func() {
				l, isNew, err := table.Upsert(t.Context(), acme, upsertOf("ann@example.org", fmt.Sprint(i)), lead.Precondition{})
				switch {
				case err != nil:
					t.Error(err)
				case isNew:
					created.Store(l.ID, true)
				default:
					if _, twice := updated.LoadOrStore(l.Version, true); twice {
						t.Errorf("two updates made version %d", l.Version)
					}
				}
			})
		}
	}
	group.Wait()
	requests, _, _ := meter.Cost()
	n := 0
	created.Range(func(id, _ any) bool { n++; return true })
	t.Logf("%d requests", requests)
	if n != 1 {
		t.Errorf("%d leads were created, want 1", n)
	}
}

// TestUpsertCosts compares upserts with creates and updates of the same values.
func TestUpsertCosts(t *testing.T) {
	table, meter, now := newUpsertTable(t)
	changes := upsertOf("ann@example.org", "Bonn")
	upsert := func(wantCreated bool) func() error {
		return func() error {
			_, created, err := table.Upsert(t.Context(), acme, changes, lead.Precondition{})
			if err == nil && created != wantCreated {
				err = fmt.Errorf("created: %v", created)
			}
			return err
		}
	}
	cost{1, 0, 11}.expect(t, meter, "create", func() error {
		values := lead.Defaults()
		values.Apply(upsertOf("bob@example.org", "Bonn"))
		_, _, err := table.Create(t.Context(), acme, values, lead.IdempotencyKey{})
		return err
	})
	cost{2, 1, 13}.expect(t, meter, "upsert that creates", upsert(true))
	cost{3, 2, 4}.expect(t, meter, "upsert that updates a new lead", upsert(false))
	cost{3, 2, 4}.expect(t, meter, "upsert that updates a lead again", upsert(false))
	l := mustUpsert(t, table, "ann@example.org", "Bonn", false)
	update := func() error {
		_, err := table.Update(t.Context(), acme, l.ID, changes, lead.Precondition{})
		return err
	}
	cost{2, 1, 1}.expect(t, meter, "update", update)
	cost{4, 3, 4}.expect(t, meter, "upsert soon after an update", upsert(false))
	cost{2, 1, 1}.expect(t, meter, "update", update)
	*now = now.Add(time.Minute)
	cost{3, 2, 4}.expect(t, meter, "upsert a minute after an update", upsert(false))
	*now = now.Add(2 * time.Hour)
	cost{3, 2, 1}.expect(t, meter, "upsert two hours later", upsert(false))
	if err := table.Delete(t.Context(), acme, l.ID, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	cost{2, 1, 15}.expect(t, meter, "upsert after a delete", upsert(true))
}

// before calls what once, before the next request with this operation.
func before(meter *dynamotest.Meter, operation string, what func()) {
	meter.Fault = func(o string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if o == operation {
			meter.Fault = nil
			what()
		}
		return next.RoundTrip(r)
	}
}

// TestUpsertReadsAgain makes changes between the requests of an upsert.
func TestUpsertReadsAgain(t *testing.T) {
	const address = "ann@example.org"
	values := lead.Defaults()
	values.Apply(upsertOf(address, "Bonn"))
	for name, test := range map[string]struct {
		first     bool // there is a lead
		operation string
		change    func(t *testing.T, table *dynamo.Table, first lead.ID)
		ambiguous bool // in the end
	}{
		"another upsert creates a lead": {false, "TransactWriteItems", func(t *testing.T, table *dynamo.Table, _ lead.ID) {
			mustUpsert(t, table, address, "Ulm", true)
		}, false},
		"another upsert updates a lead that was just created": {false, "TransactWriteItems", func(t *testing.T, table *dynamo.Table, _ lead.ID) {
			if _, _, err := table.Create(t.Context(), acme, values, lead.IdempotencyKey{}); err != nil {
				t.Fatal(err)
			}
			mustUpsert(t, table, address, "Ulm", false)
		}, false},
		"the lead is updated after another was created": {true, "GetItem", func(t *testing.T, table *dynamo.Table, first lead.ID) {
			if _, _, err := table.Create(t.Context(), acme, values, lead.IdempotencyKey{}); err != nil {
				t.Fatal(err)
			}
			if _, err := table.Update(t.Context(), acme, first, upsertOf(address, "Ulm"), lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}, true},
		"the lead is deleted": {true, "GetItem", func(t *testing.T, table *dynamo.Table, first lead.ID) {
			if err := table.Delete(t.Context(), acme, first, lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}, false},
		"the lead is deleted after it was read": {true, "TransactWriteItems", func(t *testing.T, table *dynamo.Table, first lead.ID) {
			if err := table.Delete(t.Context(), acme, first, lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}, false},
		"the lead leaves the address": {true, "GetItem", func(t *testing.T, table *dynamo.Table, first lead.ID) {
			if _, err := table.Update(t.Context(), acme, first, upsertOf("bob@example.org", "Ulm"), lead.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, meter := dynamotest.Start(t)
			table, other := dynamo.New(client, dynamotest.TableName), dynamo.New(client, dynamotest.TableName)
			var first lead.ID
			if test.first {
				first = mustUpsert(t, other, address, "Bonn", true).ID
			}
			before(meter, test.operation, func() { test.change(t, other, first) })
			_, _, err := table.Upsert(t.Context(), acme, upsertOf(address, "Kiel"), lead.Precondition{})
			var ambiguous *lead.AmbiguousError
			if errors.As(err, &ambiguous) != test.ambiguous || err != nil && !test.ambiguous {
				t.Errorf("the upsert ended with %v", err)
			}
			page, err := table.List(t.Context(), acme, lead.ListQuery{Filter: &lead.Filter{Field: emailField, Value: address}, Limit: 20})
			want := 1
			if test.ambiguous {
				want = 2
			}
			if err != nil || len(page.Leads) != want || (page.Leads[0].Values[cityField] == "Kiel") == test.ambiguous {
				t.Errorf("the leads are %+v: %v", page.Leads, err)
			}
		})
	}
}

// TestUpsertSeesHalfOfATransaction has a query return the guard that another upsert
// wrote, and not yet the row of its lead.
func TestUpsertSeesHalfOfATransaction(t *testing.T) {
	client, meter := dynamotest.Start(t)
	table, other := dynamo.New(client, dynamotest.TableName), dynamo.New(client, dynamotest.TableName)
	first := mustUpsert(t, other, "ann@example.org", "Bonn", true)
	meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if operation != "Query" {
			return next.RoundTrip(r)
		}
		meter.Fault = nil
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = []byte(strings.Replace(string(body), `"KeyConditionExpression":"#0 = :0"`, `"KeyConditionExpression":"#0 = :0 AND sk = :guard"`, 1))
		body = []byte(strings.Replace(string(body), `":0":`, `":guard":{"S":"~"},":0":`, 1))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return next.RoundTrip(r)
	}
	if again := mustUpsert(t, table, "ann@example.org", "Ulm", false); again.ID != first.ID {
		t.Errorf("the upsert updated %s, want %s", again.ID, first.ID)
	}
}
