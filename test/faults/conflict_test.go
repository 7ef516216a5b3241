package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A referee does what DynamoDB does and the engine does not: a transaction and
// another write that touch an item at the same time do not both succeed. Who
// comes later is refused, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling.
type referee struct {
	takes time.Duration // how much longer a write takes than the engine needs

	mu           sync.Mutex
	transactions map[string]bool // by the item that one is at work on
	writes       map[string]int  // plain ones at work, by item

	asked, refused atomic.Int64 // transactions
}

type refereeKey struct{}

// under returns a context whose writes a referee watches.
func under(ctx context.Context, takes time.Duration) (context.Context, *referee) {
	r := &referee{takes: takes, transactions: map[string]bool{}, writes: map[string]int{}}
	return context.WithValue(ctx, refereeKey{}, r), r
}

// itemKey is the table and key of an item that is written.
type itemKey struct {
	Key, Item map[string]json.RawMessage
}

func (k itemKey) String() string {
	if k.Key != nil {
		return string(k.Key["pk"]) + string(k.Key["sk"])
	}
	return string(k.Item["pk"]) + string(k.Item["sk"])
}

// send has the database execute a request, unless it meets another.
func (r *referee) send(x *exchange) (*http.Response, error) {
	switch x.operation {
	case "TransactWriteItems":
		return r.transact(x)
	case "UpdateItem", "PutItem", "DeleteItem":
		return r.write(x)
	}
	return x.execute()
}

func (r *referee) transact(x *exchange) (*http.Response, error) {
	var ask struct{ TransactItems []map[string]itemKey }
	if err := json.Unmarshal(x.ask, &ask); err != nil {
		return nil, err
	}
	var keys []string
	for _, write := range ask.TransactItems {
		for _, k := range write {
			keys = append(keys, k.String())
		}
	}
	r.asked.Add(1)
	r.mu.Lock()
	reasons, met := make([]object, len(keys)), false
	for i, k := range keys {
		reasons[i] = object{"Code": "None"}
		if r.transactions[k] || r.writes[k] > 0 {
			reasons[i], met = object{"Code": "TransactionConflict"}, true
		}
	}
	if met {
		r.mu.Unlock()
		r.refused.Add(1)
		return answers(400, object{
			"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
			"CancellationReasons": reasons,
		})(x)
	}
	for _, k := range keys {
		r.transactions[k] = true
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, k := range keys {
			delete(r.transactions, k)
		}
	}()
	time.Sleep(r.takes)
	return x.execute()
}

func (r *referee) write(x *exchange) (*http.Response, error) {
	var k itemKey
	if err := json.Unmarshal(x.ask, &k); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.transactions[k.String()] {
		r.mu.Unlock()
		return says(400, "TransactionConflictException")(x)
	}
	r.writes[k.String()]++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.writes[k.String()]--
	}()
	return x.execute()
}

// TestManyProcessesCreateAtOnce has processes that know nothing of each other
// create leads of one account, while transactions that meet cancel each other.
func TestManyProcessesCreateAtOnce(t *testing.T) {
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, referee := under(t.Context(), 3*time.Millisecond)
	const processes, each = 24, 10
	var wg sync.WaitGroup
	for i := range processes {
		process := w.process()
		wg.Go(func() {
			for n := range each {
				if a := w.callOn(ctx, process, request{method: "POST", body: fmt.Sprintf(`{"lead_name":"%d of %d"}`, n, i)}); a.status != 201 {
					t.Error(a)
				}
			}
		})
	}
	wg.Wait()
	total := number(totalPattern, w.call(t.Context(), request{method: "GET", path: "?limit=1"}).body)
	v := right
	if total != processes*each {
		if v = lost; total > processes*each {
			v = doubled
		}
		t.Errorf("%d leads, want %d", total, processes*each)
	}
	proven.add("transactions that meet", "create", v)
	if referee.refused.Load() == 0 {
		t.Error("no transaction met another: this proves nothing")
	}
	t.Logf("%.2f transactions for each create", float64(referee.asked.Load())/(processes*each))
}

// TestOneKeyMakesOneLeadWhereTransactionsMeet is as hard for the record of an
// idempotency key as it gets.
func TestOneKeyMakesOneLeadWhereTransactionsMeet(t *testing.T) {
	t.Parallel()
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := under(t.Context(), 2*time.Millisecond)
	oneKey(t, ctx, w, 100, 1)
}
