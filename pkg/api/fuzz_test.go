package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/test/contract"
)

// FuzzRequest parses requests as the server of net/http does. Every request that
// it can parse must have an answer as openapi.yaml describes it, and no 5xx. In
// the text, KEY stands for a valid key and ID for the id of a lead.
func FuzzRequest(f *testing.F) {
	w := newFixture(f)
	w.config.Log = nil
	handler := api.New(w.config).Handler(api.Routes()...)
	id := strings.TrimPrefix(w.create(f, `{"city":"Oslo"}`), collection+"/")
	const auth = "Host: leads.test\r\nAuthorization: Bearer KEY\r\n"
	for _, seed := range []string{
		"GET /api/crm/lead HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/crm/lead?limit=1&offset=%31 HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/crm/lead?limit=&limit=0&%zz&;=&a=%ff HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/crm/lead/ID HTTP/1.1\r\n" + auth + "If-None-Match: W/\"1\", \"2\", *\r\nIf-Match: \"1\r\n\r\n",
		"HEAD /api/crm/lead/%49D?x HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/crm/lead/%2F%00%ff HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/crm//lead/ HTTP/1.1\r\n" + auth + "\r\n",
		"GET http://other.test/api/crm/lead/lead_7zzzzzzzzzzzzzzzzzzzzzzzzz HTTP/1.1\r\n" + auth + "\r\n",
		"DELETE /api/crm/lead/lead_7zzzzzzzzzzzzzzzzzzzzzzzzz HTTP/1.1\r\n" + auth + "\r\n",
		"PATCH /api/crm/lead/ID HTTP/1.1\r\n" + auth + "If-Match: *\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 14\r\n\r\n{\"city\":null }",
		"PATCH /api/crm/lead/ID HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"PATCH /api/crm/lead/ID HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n9\r\n{}",
		"POST /api/crm/lead HTTP/1.1\r\n" + auth + "Idempotency-Key: a\r\nContent-Length: 26\r\n\r\n{\"email_id\":\"\\\"a\\\"@[b]\"   }",
		"POST /api/crm/lead HTTP/1.1\r\n" + auth + "Idempotency-Key: \xff\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n[]",
		"POST /api/crm/lead?q HTTP/1.1\r\n" + auth + "Content-Length: 35\r\n\r\n{\"nope\":1,\"annual_revenue\":1e999999}",
		"POST /api/crm/lead HTTP/1.1\r\nHost: leads.test\r\nAuthorization: bearer  KEY\r\nAuthorization: Basic KEY\r\n\r\n",
		"OPTIONS /api/crm/lead/ID HTTP/1.1\r\nHost: leads.test\r\n\r\n",
		"PUT /api/crm/lead HTTP/1.0\r\n\r\n",
		"get / HTTP/1.1\r\nHost: \r\n\r\n",
		"CONNECT leads.test:443 HTTP/1.1\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.ReplaceAll(text, []byte("KEY"), []byte(w.keys[contract.Main]))
		text = bytes.ReplaceAll(text, []byte("ID"), []byte(id))
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return // net/http answers with 400
		}
		serve(t, handler, r)
	})
}

// FuzzBatch sends bodies of batches. An answer with 200 must have a result for each
// operation.
func FuzzBatch(f *testing.F) {
	w := newFixture(f)
	w.config.Log = nil
	handler := api.New(w.config).Handler(api.Routes()...)
	id := strings.TrimPrefix(w.create(f, `{"city":"Oslo"}`), collection+"/")
	for _, body := range []string{
		``, `{}`, `[]`, `{"operations":[]}`, `{"operations":[{}],"operations":1}`, `{"operations":[null,1,[],"\ud800",{"":1}]}`,
		batchOf(`{"method":"create","lead":{"city":"a","city":"\udc00"},"idempotency_key":"k"}`, `{"method":"create","idempotency_key":"\ud800"}`),
		batchOf(`{"method":"update","id":"ID","lead":{"annual_revenue":1e5},"if_match":1e0}`, `{"method":"update","id":"\u0000","lead":{}}`),
		batchOf(`{"method":"delete","id":"ID","if_match":"*"}`, `{"method":"\u0064elete","id":"ID"}`, `{"method":"delete","id":"ID","if_match":-0}`),
		batchOf(`{"method":"upsert","match":"email_id","lead":{"email_id":"a@b"}}`, `{"match":"email_id","lead":{},"method":"upsert"}`),
		"\ufeff{\"operations\":[{\"method\":\"create\"}]}", "{\"operations\":[{\"method\":\"create\",\"lead\":{\"city\":\"\xff\"}}]}",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		body = strings.ReplaceAll(body, "ID", id)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, batchPath, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+w.keys[contract.Main])
		got := serve(t, handler, r)
		var sent struct{ Operations []any }
		if got.Code != http.StatusOK {
			return
		}
		if err := json.Unmarshal([]byte(body), &sent); err != nil || len(resultsOf(t, got.Body.String())) != len(sent.Operations) {
			t.Errorf("%v: %q has the results %s", err, body, got.Body)
		}
	})
}

// FuzzListParameters checks the query of a list with a second implementation: the
// known parameters, each at most once, in plain digits.
func FuzzListParameters(f *testing.F) {
	w := newFixture(f)
	w.config.Log = nil
	handler := api.New(w.config).Handler(api.Routes()...)
	for _, query := range []string{
		"", "limit=1", "limit=100&offset=0", "offset=9223372036854775807", "offset=9223372036854775808", "limit=0", "limit=101", "limit=-1",
		"limit=+1", "limit=01", "limit=1.0", "limit=1e1", "limit=", "limit", "=", "&", "&&limit=2&", "limit=1&limit=1", "Limit=1", "limit=%31",
		"%6cimit=1", "limit=%zz", "limit=1;offset=1", "offset=%00", "limit=%d9%a1", "a=b&limit=0", "offset=0x1", "limit=1 ", "limit=1%20", "limit==1",
		"limit=18446744073709551617", "status=%ff", "status=a&lead_owner=b", "email_id=a@b", "created_at[gte]=2024-01-15T12:00:00Z&created_at[lt]=x",
		"starting_after=lead_01hm679nv14tff59tdwh9edd1r", "ending_before=lead_7zzzzzzzzzzzzzzzzzzzzzzzzz&offset=0",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
			"GET " + collection + "?" + query + " HTTP/1.1\r\nHost: leads.test\r\nAuthorization: Bearer " + w.keys[contract.Main] + "\r\n\r\n")))
		if err != nil || r.URL.RawQuery != query {
			return // no such query can be sent
		}
		valid, decided := isValidPage(query)
		want := http.StatusBadRequest
		if valid {
			want = http.StatusOK
		}
		if got := serve(t, handler, r); decided && got.Code != want {
			t.Errorf("?%s: %d %s", query, got.Code, got.Body)
		}
	})
}

// serve answers a request and checks that the answer is as openapi.yaml describes
// it, and no 5xx.
func serve(t *testing.T, handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	got := httptest.NewRecorder()
	handler.ServeHTTP(got, r)
	if r.Method == http.MethodHead {
		got.Body.Reset() // net/http's server drops it too
	}
	err := describe(t).check(r, got.Code, got.Header(), got.Body.Bytes())
	if err != nil || got.Code >= http.StatusInternalServerError {
		t.Errorf("openapi.yaml: %v\n%d %v\n%s", err, got.Code, got.Header(), got.Body)
	}
	return got
}

// isValidPage reports whether a query of limit and offset is valid. It decides only
// queries without other parameters of a list.
func isValidPage(query string) (valid, decided bool) {
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && listParameter.MatchString(plain) {
			return false, false
		}
	}
	most := map[string]*big.Int{"limit": big.NewInt(100), "offset": big.NewInt(math.MaxInt64)}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, digits, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		digits, errDigits := url.QueryUnescape(digits)
		limit := most[name]
		n, ok := new(big.Int).SetString(digits, 10)
		if errName != nil || errDigits != nil || limit == nil || !ok || n.String() != digits ||
			n.Sign() < 0 || n.Cmp(limit) > 0 || name == "limit" && n.Sign() == 0 {
			return false, true
		}
		delete(most, name)
	}
	return true, true
}

var listParameter = regexp.MustCompile(`status|lead_owner|email_id|created_at|starting_after|ending_before`)
