package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

const batchPath = collection + "/batch"

// batchOf returns the body of a batch of these operations.
func batchOf(operations ...string) string {
	return `{"operations":[` + strings.Join(operations, ",") + "]}"
}

// manyOf returns n operations. The format gets the number of each.
func manyOf(n int, format string) (operations []string) {
	for i := range n {
		operations = append(operations, fmt.Sprintf(format, i))
	}
	return operations
}

// batchResult is a result of an operation.
type batchResult struct {
	Status   int
	Replayed bool
	Lead     struct{ ID, City string }
	Error    struct {
		Code, Message string
		Param         string
		Errors        []lead.Violation
	}
}

func resultsOf(t *testing.T, body string) []batchResult {
	t.Helper()
	var all struct{ Results []batchResult }
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %.1000s", err, body)
	}
	return all.Results
}

// sendBatch sends operations with the key main and returns their results.
func (w *fixture) sendBatch(t *testing.T, operations ...string) []batchResult {
	t.Helper()
	got := w.send(t, contract.Main, http.MethodPost, batchPath, batchOf(operations...))
	results := resultsOf(t, got.body)
	if got.status != http.StatusOK || len(results) != len(operations) {
		t.Fatalf("%d results of %d operations: %d %.1000s", len(results), len(operations), got.status, got.body)
	}
	return results
}

func wantStatuses(t *testing.T, results []batchResult, want int) {
	t.Helper()
	for i, r := range results {
		if r.Status != want {
			t.Fatalf("result %d is %+v, want status %d", i, r, want)
		}
	}
}

// TestCostOfABatch counts the units of leads of up to 1 KB.
func TestCostOfABatch(t *testing.T) {
	for _, c := range []struct {
		outcome, operation string
		requests           int
		write              float64
	}{
		{"creates", `{"method":"create","lead":{"lead_name":"lead %d"}}`, 4, 708},
		{"creates with an e-mail address", `{"method":"create","lead":{"email_id":"a%d@example.com"}}`, 5, 910},
		{"creates with a key", `{"method":"create","lead":{"lead_name":"lead"},"idempotency_key":"%d"}`, 5, 910},
		{"creates with both", `{"method":"create","lead":{"email_id":"a@example.com"},"idempotency_key":"%d"}`, 6, 1112},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w := newWarmFixture(t)
			now := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
			w.table.Now = func() time.Time { return now }
			w.meter.Now = w.table.Now
			operations := manyOf(100, c.operation)
			wantStatuses(t, w.sendBatch(t, operations...), http.StatusCreated)
			w.wantCost(t, "100 creates", c.requests, 0, c.write)
		})
	}
	t.Run("other operations", func(t *testing.T) {
		w := newWarmFixture(t)
		var updates, deletes []string
		for _, r := range w.sendBatch(t, manyOf(20, `{"method":"create","lead":{"city":"%d"}}`)...) {
			updates = append(updates, fmt.Sprintf(`{"method":"update","id":%q,"lead":{"city":"x"}}`, r.Lead.ID))
			deletes = append(deletes, fmt.Sprintf(`{"method":"delete","id":%q}`, r.Lead.ID))
		}
		w.meter.Reset()
		wantStatuses(t, w.sendBatch(t, updates...), http.StatusOK)
		w.wantCost(t, "20 updates", 20, 0, 20)
		wantStatuses(t, w.sendBatch(t, deletes...), http.StatusOK)
		if requests, read, write := w.meter.Cost(); requests > 40 || read > 20 || write > 20*13 {
			t.Errorf("20 deletes: %d requests, %v read and %v write units", requests, read, write)
		}
		w.meter.Reset()
		upserts := manyOf(20, `{"method":"upsert","match":"email_id","lead":{"email_id":"a%d@example.com"}}`)
		wantStatuses(t, w.sendBatch(t, upserts...), http.StatusCreated)
		if requests, read, write := w.meter.Cost(); requests > 20*2 || read > 20 || write > 20*(11+3) {
			t.Errorf("20 upserts that create a lead: %d requests, %v read and %v write units", requests, read, write)
		}
		w.meter.Reset()
		wantStatuses(t, w.sendBatch(t, upserts...), http.StatusOK)
		if requests, _, _ := w.meter.Cost(); requests > 20*3 {
			t.Errorf("20 upserts that update a lead: %d requests", requests)
		}
		w.meter.Reset()
		w.sendBatch(t, `{"method":"create","lead":{"city":7}}`, `{"method":"delete","id":"nobody"}`)
		w.send(t, contract.Main, http.MethodPost, batchPath, batchOf(`{"method":"create"}`, `{}`))
		w.wantCost(t, "refused operations", 0, 0, 0)
	})
}

// TestRepeatedBatchCreatesNothingTwice repeats a batch whose creates have keys.
func TestRepeatedBatchCreatesNothingTwice(t *testing.T) {
	w := newWarmFixture(t)
	operations := manyOf(100, `{"method":"create","lead":{"email_id":"a%[1]d@example.com"},"idempotency_key":"key %[1]d"}`)
	first := w.sendBatch(t, operations...)
	w.meter.Reset()
	for i, r := range w.sendBatch(t, operations...) {
		if !r.Replayed || r.Lead != first[i].Lead {
			t.Fatalf("result %d is %+v, was %+v", i, r, first[i])
		}
	}
	if requests, _, _ := w.meter.Cost(); requests > 6 {
		t.Errorf("the repeated batch took %d requests", requests)
	}
	if list := w.send(t, contract.Main, http.MethodGet, collection+"?limit=1", "").body; !strings.HasSuffix(list, `"total":100}`) {
		t.Errorf("the list ends in %s", list[len(list)-30:])
	}
}

// callStore records the calls of its methods. Each takes a second.
type callStore struct {
	failingStore
	mu           sync.Mutex
	calls        []string
	running, max int
}

func (s *callStore) call(ctx context.Context, format string, args ...any) error {
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
	s.running++
	s.max = max(s.max, s.running)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *callStore) CreateMany(ctx context.Context, _ lead.Tenant, requests []lead.CreateRequest) []lead.CreateResult {
	err := s.call(ctx, "create %d", len(requests))
	results := make([]lead.CreateResult, len(requests))
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (s *callStore) Update(ctx context.Context, _ lead.Tenant, id lead.ID, changes []lead.Change, _ lead.Precondition) (lead.Lead, error) {
	l := lead.Lead{ID: id, Version: 2}
	l.Values.Apply(changes)
	return l, s.call(ctx, "update %s", id[len(id)-2:])
}

func (s *callStore) Upsert(ctx context.Context, _ lead.Tenant, changes []lead.Change, _ lead.Precondition) (lead.Lead, bool, error) {
	key, _ := lead.MatchKey(changes)
	return lead.Lead{ID: noID, Version: 2}, false, s.call(ctx, "upsert %s", key)
}

func (s *callStore) Delete(ctx context.Context, _ lead.Tenant, id lead.ID, _ lead.Precondition) error {
	if strings.HasSuffix(string(id), "99") {
		panic("kaboom")
	}
	return s.call(ctx, "delete %s", id[len(id)-2:])
}

// sendTo sends a batch to an API, in the bubble of a test.
func sendTo(t *testing.T, leads *api.API, operations ...string) *httptest.ResponseRecorder {
	ctx := api.WithTenant(t.Context(), lead.Tenant{Account: "acme", Mode: lead.Test})
	recorder := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, batchPath, strings.NewReader(batchOf(operations...)))
	leads.Handler(api.BatchLeads).ServeHTTP(recorder, r)
	return recorder
}

func TestOperationsRunSideBySideAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &callStore{}
		var operations []string
		for i := range 16 {
			operations = append(operations, fmt.Sprintf(`{"method":"update","id":"lead_000000000000000000000000%02d","lead":{"city":"a"}}`, i))
		}
		operations = append(operations, `{"method":"create"}`, `{"method":"delete","id":"lead_00000000000000000000000000"}`, `{"method":"create"}`)
		start := time.Now()
		wantStatuses(t, resultsOf(t, sendTo(t, api.New(api.Config{Leads: store}), operations...).Body.String())[:16], http.StatusOK)
		// Eight at once: seventeen calls in three seconds, and then the delete.
		if took := time.Since(start); took != 4*time.Second || store.max != 8 {
			t.Errorf("it took %v with %d calls at once", took, store.max)
		}
		if last := store.calls[len(store.calls)-1]; last != "delete 00" || len(store.calls) != 18 {
			t.Errorf("the calls were %q", store.calls)
		}
	})
}

func TestUpsertsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &callStore{}
		start := time.Now()
		sendTo(t, api.New(api.Config{Leads: store}),
			`{"method":"create","lead":{"email_id":"a@x.org"}}`,
			`{"method":"upsert","match":"email_id","lead":{"email_id":"A@X.org"}}`,
			`{"method":"create","lead":{"email_id":"a@x.org"}}`,
			`{"method":"create","lead":{"email_id":"b@x.org"}}`,
			`{"method":"update","id":"`+noID+`","lead":{"city":"x"}}`,
			`{"method":"upsert","match":"email_id","lead":{"email_id":"c@x.org"}}`,
			`{"method":"upsert","match":"email_id","lead":{"email_id":"d@x.org"}}`,
			`{"method":"upsert","match":"email_id","lead":{"email_id":"c@x.org"}}`,
			`{"method":"delete","id":"`+noID+`"}`)
		for _, pair := range [][]string{store.calls[2:4], store.calls[4:6]} { // these are side by side
			slices.Sort(pair)
		}
		want := "create 1, upsert a@x.org, create 2, update 00, upsert c@x.org, upsert d@x.org, upsert c@x.org, delete 00"
		if got := strings.Join(store.calls, ", "); got != want || time.Since(start) != 6*time.Second {
			t.Errorf("in %v the calls were %s, want %s", time.Since(start), got, want)
		}
	})
}

func TestOperationsGet503WhenTimeRunsOut(t *testing.T) {
	w := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		operations := manyOf(20, `{"method":"update","id":"lead_00000000000000000000000000","lead":{"city":"%d"}}`)
		got := sendTo(t, api.New(api.Config{Leads: &callStore{}, Log: w.config.Log}), operations...)
		results := resultsOf(t, got.Body.String())
		if got.Code != http.StatusOK || got.Header().Get("Retry-After") != "1" || len(results) != 20 {
			t.Fatalf("the answer is %d %v with %d results", got.Code, got.Header(), len(results))
		}
		wantStatuses(t, results[:9], http.StatusOK)
		wantStatuses(t, results[10:], http.StatusServiceUnavailable)
		if code := results[19].Error.Code; code != "unavailable" {
			t.Errorf("the code is %s", code)
		}
	})
	if l, text := w.readLog(t); l.Level != "ERROR" || l.Status != http.StatusOK {
		t.Errorf("the log has %s", text)
	}
}

func TestErrorsOfTheStoreAreResults(t *testing.T) {
	w := newFixture(t)
	for _, c := range []struct {
		outcome string
		fail    func() error
		status  int
		code    string
		retry   string
		level   string
	}{
		{"throttled", func() error {
			return &lead.UnavailableError{Throttled: true, RetryAfter: 1001 * time.Millisecond, Err: errors.New(internals)}
		}, 429, "rate_limited", "2", "INFO"},
		{"unavailable", func() error { return &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New(internals)} }, 503, "unavailable", "1", "ERROR"},
		{"an unexpected error", func() error { return errors.New(internals) }, 500, "internal", "", "ERROR"},
		{"a panic", func() error { panic(internals) }, 500, "internal", "", "ERROR"},
		{"a key that is in use", func() error { return lead.ErrKeyInUse }, 409, "idempotency_key_in_use", "", "INFO"},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			w.config.Leads = failingStore{c.fail}
			w.start(t)
			w.log.take()
			got := w.send(t, contract.Main, http.MethodPost, batchPath, batchOf(`{"method":"create"}`,
				`{"method":"update","id":"`+noID+`","lead":{"city":"x"}}`, `{"method":"delete","id":"`+noID+`"}`, `{"method":"create"}`))
			results := resultsOf(t, got.body)
			wantStatuses(t, results, c.status)
			if l, text := w.readLog(t); l.Level != c.level || got.header.Get("Retry-After") != c.retry || results[3].Error.Code != c.code || len(results) != 4 {
				t.Errorf("the answer is %v %s, the log has %s", got.header, got.body, text)
			}
			if strings.Contains(got.body, internals) {
				t.Errorf("the answer shows an internal error: %s", got.body)
			}
		})
	}
}

// TestDifferentErrorsOfABatch has a panic between two calls that are unavailable. The
// log has the panic, and Retry-After is the longest pause.
func TestDifferentErrorsOfABatch(t *testing.T) {
	w := newFixture(t)
	unavailable := func(pause time.Duration) error {
		return &lead.UnavailableError{RetryAfter: pause, Err: errors.New("no answer")}
	}
	calls := 0
	w.config.Leads = failingStore{func() error {
		switch calls++; calls {
		case 1:
			return unavailable(3 * time.Second)
		case 2:
			panic("kaboom")
		}
		return unavailable(time.Second)
	}}
	w.start(t)
	w.log.take()
	update := `{"method":"update","id":"` + noID + `","lead":{"city":"x"}}` // one after the other: it is the same lead
	got := w.send(t, contract.Main, http.MethodPost, batchPath, batchOf(update, update, update))
	if _, text := w.readLog(t); !strings.Contains(text, "kaboom") || got.header.Get("Retry-After") != "3" {
		t.Errorf("the answer is %v %s, the log has %s", got.header, got.body, text)
	}
}

// TestLargestBatchAnswerFitsALambdaResponse sends the batch with the longest errors.
// TestLargestPageFitsALambdaResponse has the longest leads.
func TestLargestBatchAnswerFitsALambdaResponse(t *testing.T) {
	w := newFixture(t)
	for outcome, format := range map[string]string{
		"of leads":     `{"method":"create","lead":{%s}}`,
		"of operation": `{"method":"create","id":{%s}}`,
		"of envelope":  `{"method":"create",%s}`,
	} {
		t.Run(outcome, func(t *testing.T) {
			members := strings.Join(manyOf(101, `"`+strings.Repeat("<", 64)+`%02d":1`), ",")
			operations := slices.Repeat([]string{fmt.Sprintf(format, members)}, 100)
			start := time.Now()
			got := w.send(t, contract.Main, http.MethodPost, batchPath, batchOf(operations...))
			took := time.Since(start)
			inside, err := json.Marshal(got.body) // as package lambdahttp does
			if err != nil {
				t.Fatal(err)
			}
			if outcome == "of leads" {
				if violations := resultsOf(t, got.body)[99].Error.Errors; len(violations) != 100 || len(violations[0].Param) != 64+len("…") {
					t.Errorf("%d violations of %s", len(violations), violations[0].Param)
				}
			}
			if t.Logf("%d bytes after %v", len(inside), took); len(inside) > 6<<20 {
				t.Errorf("the answer has %d bytes", len(inside))
			}
		})
	}
}

// TestBatchAnswersBeforeTheDeadline lets the database hang from the third request of
// a batch on, and then sends the batch again.
func TestBatchAnswersBeforeTheDeadline(t *testing.T) {
	w := newWarmFixture(t)
	operations := manyOf(99, `{"method":"create","lead":{"lead_name":"lead"},"idempotency_key":"%d"}`)
	operations = append(operations, `{"method":"delete","id":"`+noID+`"}`)
	var requests atomic.Int32
	w.meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if operation == "TransactWriteItems" && requests.Add(1) > 2 {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return next.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	handler := api.New(w.config).Handler(api.BatchLeads)
	through := http.HandlerFunc(func(client http.ResponseWriter, r *http.Request) { handler.ServeHTTP(client, r.WithContext(ctx)) })
	w.transport = describe(t).checkTransport(t, contract.Handler(through))
	results := w.sendBatch(t, operations...)
	if ctx.Err() != nil {
		t.Error("the answer came after the deadline")
	}
	created := slices.IndexFunc(results, func(r batchResult) bool { return r.Status != http.StatusCreated })
	if created < 40 || created > 60 {
		t.Errorf("%d leads were created", created)
	}
	wantStatuses(t, results[created:99], http.StatusServiceUnavailable)
	wantStatuses(t, results[99:], http.StatusNotFound)

	w.meter.Fault = nil
	w.start(t)
	again := w.sendBatch(t, operations...)
	wantStatuses(t, again[:99], http.StatusCreated)
	for i, r := range again[:created] {
		if !r.Replayed || r.Lead != results[i].Lead {
			t.Errorf("result %d is %+v, was %+v", i, r, results[i])
		}
	}
	if list := w.send(t, contract.Main, http.MethodGet, collection+"?limit=1", "").body; !strings.HasSuffix(list, `"total":99}`) {
		t.Errorf("the list ends in %s", list[len(list)-30:])
	}
}
