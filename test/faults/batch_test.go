package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// batch are operations, as JSON, that a client sends in one request.
type batch []string

func (b batch) request() request {
	return request{method: "POST", path: "/batch", body: `{"operations":[` + strings.Join(b, ",") + "]}"}
}

// operation returns a request that changes something as an operation of a batch.
func (r request) operation() string {
	o := object{"method": map[string]string{"POST": "create", "PATCH": "update", "DELETE": "delete", "PUT": "upsert"}[r.method]}
	if r.method == "PUT" {
		o["match"] = "email_id"
	} else if r.method != "POST" {
		o["id"] = strings.TrimPrefix(r.path, "/")
	}
	if r.body != "" {
		o["lead"] = json.RawMessage(r.body)
	}
	for header, name := range map[string]string{"Idempotency-Key": "idempotency_key", "If-Match": "if_match"} {
		if value := r.header[header]; value != "" {
			o[name] = value
		}
	}
	return string(toJSON(o))
}

// run implements [action]. The response has no ids of new leads, because they are
// not numbered in the same order where the batch takes effect in parts.
func (b batch) run(ctx context.Context, f *fixture) response {
	got := f.send(ctx, b.request())
	got.body = newLead.ReplaceAllString(got.body, "lead_0")
	return got
}

// newLead matches the leads that are not of the fixture.
var newLead = regexp.MustCompile(`\blead_([3-9]|\d\d+)\b`)

// resultsOf returns the results in the response to a batch, as JSON.
func resultsOf(r response) (results []string) {
	var body struct{ Results []json.RawMessage }
	if json.Unmarshal([]byte(r.body), &body) != nil {
		return nil
	}
	for _, result := range body.Results {
		results = append(results, string(result))
	}
	return results
}

// isUnknownResult reports whether a result says that the client must retry.
func isUnknownResult(result string) bool {
	return strings.HasPrefix(result, `{"status":503,"error":{"type":"api_error","code":"unavailable",`) ||
		strings.HasPrefix(result, `{"status":429,"error":{"type":"rate_limit_error","code":"rate_limited",`)
}

// isRetryable implements [action]: some operations are to be sent again.
func (b batch) isRetryable(r response) bool {
	results := resultsOf(r)
	seconds, err := strconv.Atoi(r.retryAfter)
	return isRetryLater(r) || err == nil && seconds > 0 && len(results) == len(b) && slices.ContainsFunc(results, isUnknownResult)
}

// margin implements [action].
func (b batch) margin() time.Duration { return apiMargin }

// observe implements [action] with each lead and its version on a line.
func (b batch) observe(ctx context.Context, f *fixture) string {
	all := f.list(ctx)
	var page struct{ Data []json.RawMessage }
	if err := json.Unmarshal([]byte(all.body), &page); err != nil {
		return all.String()
	}
	var lines []string
	for _, l := range page.Data {
		one := f.send(ctx, request{method: "GET", path: "/" + namePattern.FindString(string(l))})
		lines = append(lines, newLead.ReplaceAllString(string(l), "lead_0")+" "+one.etag)
	}
	slices.Sort(lines)
	return fmt.Sprintf(`%d "total":%d`+"\n%s", all.status, findNumber(totalPattern, all.body), strings.Join(lines, "\n"))
}

// isPartial implements [action]: each operation took effect as a whole or not at
// all, and those with a result did what it says.
func (b batch) isPartial(before string, got, success outcome) bool {
	leads := linesByName(got.state)
	possible := []map[string]string{linesByName(before), linesByName(success.state)}
	results, expected := resultsOf(got.response), resultsOf(success.response)
	for i, result := range expected {
		var is struct {
			Lead    json.RawMessage
			ETag    string
			ID      string
			Deleted bool
		}
		if err := json.Unmarshal([]byte(result), &is); err != nil {
			return false
		}
		done := linesByName("\n" + string(is.Lead) + " " + is.ETag)
		possible = append(possible, done)
		switch {
		case len(results) == 0 || isUnknownResult(results[i]):
			continue
		case results[i] != result, is.Deleted && strings.Contains(got.state, `"id":"`+is.ID+`"`):
			return false
		}
		for name, line := range done { // a later operation may have changed the lead
			if leads[name] < line {
				return false
			}
		}
	}
	for name, line := range leads {
		if !slices.ContainsFunc(possible, func(lines map[string]string) bool { return lines[name] == line }) {
			return false
		}
	}
	total := fmt.Sprintf(`200 "total":%d`+"\n", len(leads))
	return leads["lead 0"] != "" && strings.HasPrefix(got.state, total) && strings.Count(got.state, "\n") == len(leads)
}

// linesByName returns the lines with leads of a state, by the name of the lead. Each
// begins with the version.
func linesByName(state string) map[string]string {
	lines := map[string]string{}
	for line := range strings.Lines(state) {
		if name := leadName.FindStringSubmatch(line); name != nil {
			version := line[strings.LastIndex(line, " ")+1:]
			lines[name[1]] = strings.TrimSpace(version) + " " + strings.TrimSpace(line)
		}
	}
	return lines
}

var leadName = regexp.MustCompile(`"lead_name":"([^"]*)"`)

// isCompletion implements [action]: each operation has the result of its success or
// of its repetition.
func (b batch) isCompletion(got, success, repetition outcome) bool {
	first, second := resultsOf(success.response), resultsOf(repetition.response)
	for i, result := range resultsOf(got.response) {
		if result != first[i] && result != second[i] {
			return false
		}
	}
	return got.response.status == http.StatusOK && got.state == repetition.state
}

func batchOperations() []operation {
	all := batch{
		`{"method":"create","lead":{"lead_name":"a","email_id":"a@example.com"},"idempotency_key":"a"}`,
		`{"method":"upsert","match":"email_id","lead":{"email_id":"A@example.com","city":"new"},"if_match":1}`,
		`{"method":"update","id":"lead_1","lead":{"city":"there"},"if_match":1}`,
		`{"method":"create","lead":{"lead_name":"b","email_id":"b@example.com"},"idempotency_key":"b"}`,
		`{"method":"delete","id":"lead_2","if_match":"\"1\""}`,
		`{"method":"create","lead":{"lead_name":"a","email_id":"a@example.com"},"idempotency_key":"a"}`,
		`{"method":"create","lead":{"lead_name":7}}`,
	}
	return []operation{{column: "batch", name: "batch", action: all}}
}

// splitBatch returns the response to each operation of a batch. A batch that failed
// as a whole did nothing that is known.
func splitBatch(got response, operations int) (responses []response) {
	results := resultsOf(got)
	if len(results) != operations {
		return slices.Repeat([]response{got}, operations)
	}
	for _, result := range results {
		var r struct {
			Status   int
			ETag     string
			Replayed bool
		}
		json.Unmarshal([]byte(result), &r)
		if isUnknownResult(result) {
			r.Status = gaveUp
		}
		one := response{status: r.Status, etag: r.ETag, body: result}
		if r.Replayed {
			one.replayed = "true"
		}
		responses = append(responses, one)
	}
	return responses
}

// TestKilledProcessLosesNothingOfABatch kills "leads serve" before or after each
// transaction of a batch, and sends the batch to another process.
func TestKilledProcessLosesNothingOfABatch(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	database, err := url.Parse(*client.Options().BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(database)
	var operations batch
	for i := range 100 {
		operations = append(operations, fmt.Sprintf(`{"method":"create","lead":{"email_id":"a%d@example.com"},"idempotency_key":"%d"}`, i, i))
	}
	other := startServe(t, database.String())
	for n := range 6 {
		for _, executed := range []bool{false, true} {
			t.Run(fmt.Sprintf("transaction %d, executed %v", n+1, executed), func(t *testing.T) {
				t.Parallel()
				var victim *process
				var transactions atomic.Int64
				proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") || transactions.Add(1) != int64(n+1) {
						forward.ServeHTTP(w, r)
						return
					}
					if executed {
						forward.ServeHTTP(httptest.NewRecorder(), r)
					}
					victim.cmd.Process.Kill()
				}))
				t.Cleanup(proxy.Close)
				f := newFixture(t, client, 0, 0)
				victim = startServe(t, proxy.URL)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, victim.url+"/api/crm/lead/batch", strings.NewReader(operations.request().body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+f.key)
				if resp, err := http.DefaultClient.Do(r); err == nil {
					t.Fatalf("the process answered: %s", resp.Status)
				}

				f.api = other.handler(t, http.DefaultClient)
				got := f.send(t.Context(), operations.request())
				replayed, v := 0, correct
				for i, r := range splitBatch(got, len(operations)) {
					if r.status != http.StatusCreated || !strings.Contains(r.body, fmt.Sprintf(`"a%d@example.com"`, i)) {
						t.Fatalf("wrong: result %d is %v", i, r)
					}
					if r.replayed != "" {
						replayed++
					}
				}
				done := n
				if executed {
					done++
				}
				if total := f.total(t.Context()); total != 100 || replayed != min(19*done, 100) {
					v = doubled
					t.Errorf("%v: %d leads, %d of them created before", v, total, replayed)
				}
				if difference := f.audit(t.Context()); difference != "" {
					v = wrong
					t.Errorf("%v: %s", v, difference)
				}
				record("killed process", "batch", v)
			})
		}
	}
}
