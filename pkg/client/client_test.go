package client_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"overplane.dev/leads/pkg/client"
	"overplane.dev/leads/pkg/lead"
)

// TestLeadHasTheFieldsOfTheAPI compares the members of client.Lead with the field
// table of package lead.
func TestLeadHasTheFieldsOfTheAPI(t *testing.T) {
	type member struct{ Name, Type string }
	want := []member{{"id,omitempty", "string"}, {"created_at,omitzero", "time.Time"}, {"updated_at,omitzero", "time.Time"}}
	types := map[lead.Kind]string{lead.Text: "*string", lead.Email: "*string", lead.Boolean: "*bool", lead.Decimal: "*json.Number"}
	for _, f := range lead.Fields {
		want = append(want, member{f.Name + ",omitempty", types[f.Kind]})
	}
	var got []member
	for f := range reflect.TypeFor[client.Lead]().Fields() {
		got = append(got, member{f.Tag.Get("json"), f.Type.String()})
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the members differ (-want +got):\n%s", diff)
	}
}

// TestLeadKeepsAllFields creates a lead with every field set, and reads it.
func TestLeadKeepsAllFields(t *testing.T) {
	c := newClient(t, "all-fields")
	var all client.Lead
	for f, value := range reflect.ValueOf(&all).Elem().Fields() {
		switch field := value.Addr().Interface().(type) {
		case **string:
			*field = new("value of " + f.Name + " <é>")
		case **bool:
			*field = new(true)
		case **json.Number:
			*field = new(json.Number("1234567890.1234567890123456789012345678"))
		}
	}
	all.EmailID = new("ada@example.com")
	created, err := c.Create(t.Context(), &all)
	if err != nil {
		t.Fatal(err)
	}
	if created.ID == "" || time.Since(created.CreatedAt).Abs() > time.Minute || !created.UpdatedAt.Equal(created.CreatedAt) {
		t.Errorf("created %q at %v, updated at %v", created.ID, created.CreatedAt, created.UpdatedAt)
	}
	read, err := c.Get(t.Context(), created.ID)
	if err != nil {
		t.Fatal(err)
	}
	all.ID, all.CreatedAt, all.UpdatedAt = created.ID, created.CreatedAt, created.UpdatedAt
	if diff := gocmp.Diff(&all, read); diff != "" {
		t.Errorf("the lead differs (-sent +read):\n%s", diff)
	}
}

func TestUpdateSendsOnlyChanges(t *testing.T) {
	c := newClient(t, "update")
	l, err := c.Create(t.Context(), &client.Lead{LeadName: new("Ada"), Status: new("Open"), City: new("London"), Title: new("")})
	if err != nil {
		t.Fatal(err)
	}
	recorder := &recorder{}
	c.HTTPClient = &http.Client{Transport: recorder}
	updated, err := c.Update(t.Context(), l.ID, func(l *client.Lead) {
		*l.City = "Paris" // also a change in place must be noticed
		l.Status = nil
		l.Title = nil
		l.Phone = new("")
		l.AnnualRevenue = new(json.Number("1.50"))
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `PATCH {"annual_revenue":1.50,"city":"Paris","phone":"","status":null,"title":null}`
	if got := recorder.requests[1]; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if client.Value(updated.Status) != "Lead" || client.Value(updated.City) != "Paris" || updated.Title != nil ||
		updated.Phone == nil || client.Value(updated.LeadName) != "Ada" || client.Value(updated.AnnualRevenue) != "1.5" {
		t.Errorf("updated %+v", updated)
	}
	recorder.requests = nil
	_, err = c.Update(t.Context(), l.ID, func(l *client.Lead) { l.AnnualRevenue = new(json.Number("15e-1")) })
	if err != nil || len(recorder.requests) != 1 {
		t.Errorf("an update without a change sent %q, %v", recorder.requests, err)
	}
	_, err = c.Update(t.Context(), l.ID, func(l *client.Lead) { l.AnnualRevenue = new(json.Number("much")) })
	if err == nil || !strings.Contains(err.Error(), "the lead has no JSON form") {
		t.Errorf("an update with a number that is none: %v", err)
	}
}

// recorder records requests and sends them.
type recorder struct{ requests []string }

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.requests = append(r.requests, req.Method+" "+string(body))
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	return http.DefaultTransport.RoundTrip(req)
}

// TestConcurrentUpdates lets many clients add one to a number of the same lead. No
// addition may be lost.
func TestConcurrentUpdates(t *testing.T) {
	c := newClient(t, "concurrent")
	l, err := c.Create(t.Context(), &client.Lead{NoOfEmployees: new("0")})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := c.Update(t.Context(), l.ID, addEmployee); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if l, err = c.Get(t.Context(), l.ID); err != nil || client.Value(l.NoOfEmployees) != strconv.Itoa(n) {
		t.Errorf("%q after %d additions, %v", client.Value(l.NoOfEmployees), n, err)
	}
}

func addEmployee(l *client.Lead) {
	n, _ := strconv.Atoi(client.Value(l.NoOfEmployees))
	l.NoOfEmployees = new(strconv.Itoa(n + 1))
}

// loseAnswer sends every request and loses the first answer to each method.
type loseAnswer struct{ lost map[string]bool }

func (l *loseAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || l.lost[req.Method] {
		return resp, err
	}
	l.lost[req.Method] = true
	resp.Body.Close()
	return nil, errors.New("the connection broke")
}

// TestLostAnswers checks that a request takes effect once if its answer is lost.
func TestLostAnswers(t *testing.T) {
	c := newClient(t, "lost")
	c.HTTPClient = &http.Client{Transport: &loseAnswer{lost: map[string]bool{}}}
	ctx := t.Context()
	l, err := c.Create(ctx, &client.Lead{NoOfEmployees: new("0")})
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.List(ctx, url.Values{"limit": {"10"}})
	if err != nil || page.Total != 1 || page.Data[0].ID != l.ID || page.HasMore {
		t.Errorf("the list is %+v, %v", page, err)
	}
	if l, err = c.Update(ctx, l.ID, addEmployee); err != nil || client.Value(l.NoOfEmployees) != "1" {
		t.Errorf("updated to %+v, %v", l, err)
	}
	if err := c.Delete(ctx, l.ID); err != nil {
		t.Error(err)
	}
	err = c.Delete(ctx, l.ID)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 404 || e.Code != "resource_missing" {
		t.Errorf("the second delete: %v", err)
	}
}

func TestCreateWithKey(t *testing.T) {
	c := newClient(t, "keys")
	first, err := c.CreateWithKey(t.Context(), "row 1", &client.Lead{LeadName: new("Ada")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.CreateWithKey(t.Context(), "row 1", &client.Lead{LeadName: new("Ada")})
	if err != nil || first.ID != second.ID {
		t.Errorf("created %s and %v, %v", first.ID, second, err)
	}
	_, err = c.CreateWithKey(t.Context(), "row 1", &client.Lead{LeadName: new("Bob")})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 409 || e.Code != "idempotency_key_reused" {
		t.Errorf("another lead with the same key: %v", err)
	}
}

func TestUpsert(t *testing.T) {
	c := newClient(t, "upserts")
	first, err := c.Upsert(t.Context(), &client.Lead{EmailID: new("ada@example.com"), City: new("London")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Upsert(t.Context(), &client.Lead{EmailID: new("ADA@example.com"), Status: new("Open")})
	if err != nil || second.ID != first.ID || client.Value(second.City) != "London" || client.Value(second.Status) != "Open" {
		t.Errorf("upserted %+v and %+v, %v", first, second, err)
	}
	_, err = c.Upsert(t.Context(), &client.Lead{City: new("Paris")})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 400 || e.Param != "email_id" {
		t.Errorf("an upsert without an address: %v", err)
	}
}

func TestErrors(t *testing.T) {
	c := newClient(t, "errors")
	_, err := c.Create(t.Context(), &client.Lead{EmailID: new("x"), City: new(strings.Repeat("x", 141))})
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		t.Fatal(err)
	}
	if e.Status != 400 || e.Type != "invalid_request_error" || e.Code != "parameter_invalid" || e.Param != "email_id" ||
		e.Message == "" || e.RequestID == "" || len(e.Violations) != 2 || e.Violations[1].Param != "city" {
		t.Errorf("the error is %+v", e)
	}
	if want := fmt.Sprintf("400 parameter_invalid: %s (request %s)", e.Message, e.RequestID); e.Error() != want {
		t.Errorf("the text is %q, want %q", e.Error(), want)
	}
	c.Key = "sk_test_wrong"
	_, err = c.Get(t.Context(), "lead_abc123")
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 401 || e.Type != "authentication_error" || e.Param != "" {
		t.Errorf("a wrong key: %v", err)
	}
}

// An answer is a scripted answer of a server, or an error if its status is 0.
type answer struct {
	err    error
	status int
	header http.Header
	body   string
}

// scripted returns a client of a server that gives one answer after the other, and
// the times of the requests. It must be used in a synctest bubble.
func scripted(answers ...answer) (*client.Client, *[]time.Time) {
	times := &[]time.Time{}
	return &client.Client{URL: "http://leads.test/", HTTPClient: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		*times = append(*times, time.Now())
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		a := answers[min(len(*times), len(answers))-1]
		if a.status == 0 {
			return nil, cmp.Or(a.err, errors.New("no route to host"))
		}
		return &http.Response{
			StatusCode: a.status, Status: fmt.Sprint(a.status, " ", http.StatusText(a.status)), Request: req,
			Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)),
		}, nil
	})}}, times
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestRetries(t *testing.T) {
	ok := answer{status: 200, body: `{"id":"lead_1"}`}
	for name, test := range map[string]struct {
		answers  []answer
		requests int
		min, max time.Duration // all waits together
		status   int           // of the error; 0 for success, -1 for an error without an answer
	}{
		"network error": {[]answer{{}, ok}, 2, 200 * time.Millisecond, 400 * time.Millisecond, 0},
		"unavailable, with Retry-After": {
			[]answer{{status: 503, header: http.Header{"Retry-After": {"7"}}}, ok}, 2, 7 * time.Second, 8 * time.Second, 0,
		},
		"throttled by API Gateway": {
			[]answer{{status: 429, body: `{"message":"Too Many Requests"}`}, ok}, 2, time.Second, 2 * time.Second, 0,
		},
		"throttled by the API": {
			[]answer{{status: 429, header: http.Header{"Retry-After": {"3"}}}, ok}, 2, 3 * time.Second, 4 * time.Second, 0,
		},
		"the first request is still running": {
			[]answer{{status: 409, body: `{"error":{"code":"idempotency_key_in_use"}}`}, ok}, 2, 200 * time.Millisecond, 400 * time.Millisecond, 0,
		},
		"internal error for ever": {[]answer{{status: 500}}, 6, 6200 * time.Millisecond, 12400 * time.Millisecond, 500},
		"no network":              {[]answer{{}}, 6, 6200 * time.Millisecond, 12400 * time.Millisecond, -1},
		"refused":                 {[]answer{{status: 403, body: `{"message":"Forbidden"}`}}, 1, 0, 0, 403},
		"reused key":              {[]answer{{status: 409, body: `{"error":{"code":"idempotency_key_reused"}}`}}, 1, 0, 0, 409},
		"redirect":                {[]answer{{status: 301, header: http.Header{"Location": {"/"}}}}, 1, 0, 0, 301},
		"nothing listens":         {[]answer{{err: syscall.ECONNREFUSED}}, 1, 0, 0, -1},
		"not the API":             {[]answer{{status: 200, body: "<html>"}}, 1, 0, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, times := scripted(test.answers...)
				start := time.Now()
				l, err := c.Get(t.Context(), "lead_1")
				if waited := time.Since(start); len(*times) != test.requests || waited < test.min || waited > test.max {
					t.Errorf("%d requests in %v, want %d in %v to %v", len(*times), waited, test.requests, test.min, test.max)
				}
				e, answered := errors.AsType[*client.Error](err)
				switch {
				case test.status == 0 && (err != nil || l.ID != "lead_1"):
					t.Errorf("got %v, %v", l, err)
				case test.status > 0 && (!answered || e.Status != test.status || e.Message == ""):
					t.Errorf("got %v, want status %d", err, test.status)
				case test.status < 0 && (err == nil || answered):
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestDeleteAfterThrottling checks that a delete reports a missing lead if no
// attempt before can have deleted it.
func TestDeleteAfterThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for status, deleted := range map[int]bool{429: false, 500: true, 0: true} {
			c, _ := scripted(answer{status: status}, answer{status: 404})
			if err := c.Delete(t.Context(), "lead_1"); (err == nil) != deleted {
				t.Errorf("after status %d: %v", status, err)
			}
		}
	})
}

func TestDeadlineEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, times := scripted(answer{status: 503, header: http.Header{"Retry-After": {"60"}}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Get(ctx, "lead_1")
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 503 || len(*times) != 1 || time.Since(start) != 0 {
			t.Errorf("%d requests in %v, %v; want the first answer at once", len(*times), time.Since(start), err)
		}

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = c.Get(ctx, "lead_1")
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 503 || !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %v; want the answer and the cancellation", err, time.Since(start))
		}
	})
}

// TestUpdateGivesUp checks that Update ends if every request is answered with 412.
func TestUpdateGivesUp(t *testing.T) {
	var patches atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"7"`)
		if r.Method == "PATCH" {
			patches.Add(1)
			if got := r.Header.Get("If-Match"); got != `"7"` {
				t.Errorf("If-Match is %s", got)
			}
			w.WriteHeader(412)
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	c := &client.Client{URL: server.URL}
	_, err := c.Update(t.Context(), "lead_1", addEmployee)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 412 || patches.Load() != 20 {
		t.Errorf("%v after %d updates", err, patches.Load())
	}
}

// TestAllSendsCursors checks the requests of All: it pages by starting_after and
// sends the query with every page.
func TestAllSendsCursors(t *testing.T) {
	var queries []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		switch r.URL.Query().Get("starting_after") {
		case "":
			fmt.Fprint(w, `{"data":[{"id":"lead_3"},{"id":"lead_2"}],"has_more":true,"total":3}`)
		case "lead_2":
			fmt.Fprint(w, `{"data":[{"id":"lead_1"}],"has_more":false,"total":3}`)
		}
	}))
	defer server.Close()
	c := &client.Client{URL: server.URL}
	var ids []string
	query := url.Values{"email_id": {"ada+1@example.com"}, "created_at[lt]": {"2027-01-01T00:00:00Z"}}
	for l, err := range c.All(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, l.ID)
	}
	const common = "created_at%5Blt%5D=2027-01-01T00%3A00%3A00Z&email_id=ada%2B1%40example.com&limit=100"
	if diff := gocmp.Diff([]string{common, common + "&starting_after=lead_2"}, queries); diff != "" {
		t.Errorf("the queries differ (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"lead_3", "lead_2", "lead_1"}, ids); diff != "" {
		t.Errorf("the leads differ (-want +got):\n%s", diff)
	}

	queries = nil
	for range c.All(t.Context(), nil) {
		break
	}
	if len(queries) != 1 || queries[0] != "limit=100" {
		t.Errorf("sent %q, want one request", queries)
	}
	c.URL = "http://:leads"
	for l, err := range c.All(t.Context(), nil) {
		if l != nil || err == nil {
			t.Errorf("got %v, %v", l, err)
		}
	}
}

// TestAllVisitsEachLeadOnce creates and deletes leads while All reads three pages.
func TestAllVisitsEachLeadOnce(t *testing.T) {
	c := newClient(t, "all")
	ctx := t.Context()
	const n = 250
	created := map[string]int{} // by id, in the order of creation
	for i := range n {
		l, err := c.Create(ctx, &client.Lead{LeadOwner: new("ada"), Status: new([]string{"Open", "Lead"}[i%2])})
		if err != nil {
			t.Fatal(err)
		}
		created[l.ID] = i
	}
	count, next := 0, n-1
	for l, err := range c.All(ctx, url.Values{"lead_owner": {"ada"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := created[l.ID]; !ok || i != next {
			t.Fatalf("visited lead %d, want %d", i, next)
		}
		next--
		count++
		if count%50 == 0 { // behind the place of the iterator
			if err := c.Delete(ctx, l.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Create(ctx, &client.Lead{LeadOwner: new("ada")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if count != n {
		t.Errorf("visited %d leads, want %d", count, n)
	}
	page, err := c.List(ctx, url.Values{"status": {"Open"}, "limit": {"1"}})
	if err != nil || !page.HasMore || len(page.Data) != 1 || page.Total != n/2-n/50 { // the deleted leads were open
		t.Errorf("the list of open leads is %+v, %v", page, err)
	}
}

func TestWrongURL(t *testing.T) {
	c := &client.Client{URL: os.Getenv("LEADS_URL") + "/none", Key: "x"}
	if err := c.Delete(t.Context(), "lead_1"); err == nil || !strings.HasPrefix(err.Error(), "404 route_unknown: ") {
		t.Errorf("a wrong address: %v", err)
	}
}
