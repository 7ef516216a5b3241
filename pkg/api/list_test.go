package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// listStore is a store that remembers the last query of a list and answers it with
// page and err.
type listStore struct {
	failingStore
	query lead.ListQuery
	page  lead.Page
	err   error
}

func (s *listStore) List(_ context.Context, _ lead.Tenant, q lead.ListQuery) (lead.Page, error) {
	s.query = q
	return s.page, s.err
}

func newListFixture(t *testing.T) (*fixture, *listStore) {
	w, store := newFixture(t), &listStore{}
	w.config.Leads = store
	w.start(t)
	return w, store
}

const someID, otherID lead.ID = "lead_01hm679nv14tff59tdwh9edd1r", "lead_01hm679nv14tff59tdwh9edd1s"

func TestListQuery(t *testing.T) {
	w, store := newListFixture(t)
	filter := func(name, value string) *lead.Filter {
		field := lead.FieldNamed(name)
		return &lead.Filter{Field: field, Value: value}
	}
	second := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	noon, afterNoon := second("2024-01-15T12:00:00Z"), second("2024-01-15T12:00:01Z")
	for query, want := range map[string]lead.ListQuery{
		"":                                 {Limit: 20},
		"limit=100&offset=7":               {Limit: 100, Offset: 7},
		"status=Open":                      {Limit: 20, Filter: filter("status", "Open")},
		"status=":                          {Limit: 20, Filter: filter("status", "")},
		"status=a%20b%00":                  {Limit: 20, Filter: filter("status", "a b\x00")},
		"lead_owner=__user":                {Limit: 20, Filter: filter("lead_owner", "__user")},
		"email_id=A%2Bb@Ex.com":            {Limit: 20, Filter: filter("email_id", "A+b@Ex.com")},
		"starting_after=" + string(someID): {Limit: 20, StartingAfter: someID},
		"ending_before=" + string(someID) + "&limit=3&status=x": {Limit: 3, EndingBefore: someID, Filter: filter("status", "x")},

		"created_at[gte]=2024-01-15T12:00:00Z":                                              {Limit: 20, From: noon},
		"created_at[gte]=2024-01-15T11:59:59.000000001Z":                                    {Limit: 20, From: noon},
		"created_at[gt]=2024-01-15T12:00:00Z":                                               {Limit: 20, From: afterNoon},
		"created_at[gt]=2024-01-15T12:00:00.9Z":                                             {Limit: 20, From: afterNoon},
		"created_at[lt]=2024-01-15T12:00:00Z":                                               {Limit: 20, To: noon},
		"created_at[lt]=2024-01-15T12:00:00.5Z":                                             {Limit: 20, To: afterNoon},
		"created_at[lte]=2024-01-15T12:00:00Z":                                              {Limit: 20, To: afterNoon},
		"created_at[lte]=2024-01-15T12:00:00.5Z":                                            {Limit: 20, To: afterNoon},
		"created_at%5Bgte%5D=2024-01-15T14:00:00%2B02:00":                                   {Limit: 20, From: noon},
		"created_at[gt]=2024-01-15T12:00:00Z&created_at[lte]=2024-01-15T12:00:00Z&offset=1": {Limit: 20, Offset: 1, From: afterNoon, To: afterNoon},
		"created_at[lt]=0001-01-01T00:00:00Z":                                               {Limit: 20, To: second("0001-01-01T00:00:01Z")},
	} {
		got := w.send(t, contract.Main, http.MethodGet, collection+"?"+query, "")
		if got.status != http.StatusOK {
			t.Errorf("%s: %s", query, got.body)
			continue
		}
		q := store.query
		if (q.Filter == nil) != (want.Filter == nil) || q.Filter != nil && *q.Filter != *want.Filter {
			t.Errorf("%s: the filter is %v, want %v", query, q.Filter, want.Filter)
		}
		if q.Filter, want.Filter = nil, nil; q != want {
			t.Errorf("%s: the query is %+v, want %+v", query, q, want)
		}
	}
}

func TestListQueryViolations(t *testing.T) {
	w, store := newListFixture(t)
	const id = string(someID)
	for query, want := range map[string]string{
		"status=" + strings.Repeat("x", 141):     "parameter_too_long status",
		"lead_owner=" + strings.Repeat("語", 141): "parameter_too_long lead_owner",
		"email_id=":    "parameter_invalid email_id",
		"email_id=ada": "parameter_invalid email_id",
		"email_id=" + url.QueryEscape("[email protected]"):                         "parameter_invalid email_id",
		"email_id=a@" + strings.Repeat("b", 253):                                   "parameter_invalid email_id",
		"status=a&status=a":                                                        "parameter_invalid status",
		"lead_owner=b&status=a":                                                    "parameter_invalid lead_owner",
		"email_id=a@b&lead_owner=b&status=a":                                       "parameter_invalid email_id, parameter_invalid lead_owner",
		"email_id=a@b&lead_owner=b":                                                "parameter_invalid email_id",
		"created_at[gte]=2024-01-15":                                               "parameter_invalid created_at[gte]",
		"created_at[gte]=2024-01-15T12:00:00":                                      "parameter_invalid created_at[gte]",
		"created_at[gte]=2024-01-15T12:00:00+02:00":                                "parameter_invalid created_at[gte]", // a space
		"created_at[gte]=2024-02-30T12:00:00Z":                                     "parameter_invalid created_at[gte]",
		"created_at[gte]=1705320000":                                               "parameter_invalid created_at[gte]",
		"created_at[lt]=":                                                          "parameter_invalid created_at[lt]",
		"created_at=2024-01-15T12:00:00Z":                                          "parameter_unknown created_at",
		"created_at[eq]=2024-01-15T12:00:00Z":                                      "parameter_unknown created_at[eq]",
		"created_at[gt]=2024-01-15T12:00:00Z&created_at[gte]=2024-01-15T12:00:00Z": "parameter_invalid created_at[gt]",
		"created_at[lte]=2024-01-15T12:00:00Z&created_at[lt]=2024-01-15T12:00:00Z": "parameter_invalid created_at[lte]",
		"starting_after=":                                                          "parameter_invalid starting_after",
		"starting_after=lead_x":                                                    "parameter_invalid starting_after",
		"ending_before=" + id + "x":                                                "parameter_invalid ending_before",
		"ending_before=" + id + "&starting_after=" + id:                            "parameter_invalid ending_before",
		"offset=0&starting_after=" + id:                                            "parameter_invalid offset",
		"ending_before=" + id + "&offset=5":                                        "parameter_invalid offset",
		"city=a":                                                                   "parameter_unknown city",
		"limit=0&status=a&x=1&email_id=b&created_at[lt]=y":                         "parameter_invalid limit, parameter_unknown x, parameter_invalid email_id, parameter_invalid created_at[lt]",
	} {
		got := w.send(t, contract.Main, http.MethodGet, collection+"?"+query, "")
		var body struct {
			Error struct{ Errors []lead.Violation }
		}
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatal(err)
		}
		var violations []string
		for _, v := range body.Error.Errors {
			violations = append(violations, string(v.Code)+" "+v.Param)
		}
		if all := strings.Join(violations, ", "); got.status != http.StatusBadRequest || all != want {
			t.Errorf("%s: %d %s, want 400 %s", query, got.status, all, want)
		}
	}
	store.err = lead.ErrFilterOff
	got := w.send(t, contract.Main, http.MethodGet, collection+"?lead_owner=a", "")
	wantError(t, got, http.StatusBadRequest, "parameter_invalid", "")
	if !strings.Contains(got.body, `"param":"lead_owner"`) || !strings.Contains(got.body, "switched off") {
		t.Errorf("a filter that is switched off: %s", got.body)
	}
}

func TestListAnswer(t *testing.T) {
	w, store := newListFixture(t)
	store.page = lead.Page{Leads: []lead.Lead{{ID: otherID, Values: lead.Defaults()}, {ID: someID, Values: lead.Defaults()}}, Total: 2, HasMore: true}
	got := w.send(t, contract.Main, http.MethodGet, collection+"?ending_before="+string(someID), "")
	var list struct {
		Data    []struct{ ID lead.ID }
		HasMore bool `json:"has_more"`
		Total   int64
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list.Data) != 2 || list.Data[0].ID != otherID || !list.HasMore || list.Total != 2 {
		t.Errorf("%v: %s", err, got.body)
	}
}

// TestListFilters lists leads of a real store by filters, ranges and cursors.
func TestListFilters(t *testing.T) {
	w := newFixture(t)
	ids := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d"} {
		status := "Open"
		if name >= "c" {
			status = "Lost"
		}
		path := w.create(t, `{"lead_name":"`+name+`","status":"`+status+`","email_id":"`+name+`@BÜCHER.example"}`)
		ids[name] = strings.TrimPrefix(path, collection+"/")
	}
	for query, want := range map[string]struct {
		names   string
		hasMore bool
		total   int64
	}{
		"status=Open":          {"ba", false, 2},
		"status=open":          {"", false, 0},
		"status=Open&limit=1":  {"b", true, 2},
		"status=Open&offset=1": {"a", false, 2},
		"lead_owner=__user":    {"dcba", false, 4},
		"email_id=" + url.QueryEscape("A@xn--bcher-kva.example"): {"a", false, 1},
		"created_at[gt]=2100-01-01T00:00:00Z":                    {"", false, 0},
		"created_at[gte]=2020-01-01T00:00:00Z&status=Lost":       {"dc", false, 2},
		"created_at[lt]=2020-01-01T00:00:00Z&status=Lost":        {"", false, 0},
		"starting_after=" + ids["c"]:                             {"ba", false, 4},
		"starting_after=" + ids["c"] + "&limit=1":                {"b", true, 4},
		"ending_before=" + ids["b"]:                              {"dc", false, 4},
		"ending_before=" + ids["a"] + "&limit=2":                 {"cb", true, 4},
		"ending_before=" + ids["a"] + "&status=Lost":             {"dc", false, 2},
	} {
		got := w.send(t, contract.Main, http.MethodGet, collection+"?"+query, "")
		var list struct {
			Data []struct {
				LeadName string `json:"lead_name"`
			}
			HasMore bool `json:"has_more"`
			Total   int64
		}
		if err := json.Unmarshal([]byte(got.body), &list); err != nil {
			t.Fatal(err)
		}
		names := ""
		for _, l := range list.Data {
			names += l.LeadName
		}
		if got.status != http.StatusOK || names != want.names || list.HasMore != want.hasMore || list.Total != want.total {
			t.Errorf("%s: %d, leads %s, has_more %t, total %d, want %+v", query, got.status, names, list.HasMore, list.Total, want)
		}
	}
}
