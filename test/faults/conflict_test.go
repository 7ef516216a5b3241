package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A conflictDetector adds what DynamoDB does and the local database does not: a
// transaction and another write to the same item at the same time do not both
// succeed. The later one is refused, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling.
type conflictDetector struct {
	delay time.Duration // added to each transaction

	mu           sync.Mutex
	transactions map[itemKey]bool // items of transactions in flight
	writes       map[itemKey]int  // other writes in flight

	sent, refused atomic.Int64 // transactions
}

func withConflicts(ctx context.Context, delay time.Duration) (context.Context, *conflictDetector) {
	c := conditionsOf(ctx)
	c.conflicts = &conflictDetector{delay: delay, transactions: map[itemKey]bool{}, writes: map[itemKey]int{}}
	return c.in(ctx), c.conflicts
}

// send has the database execute a call, or refuses it for a conflict.
func (d *conflictDetector) send(c *call) (*http.Response, error) {
	switch c.operation {
	case "TransactWriteItems":
		return d.transact(c)
	case "UpdateItem", "PutItem", "DeleteItem":
		return d.write(c)
	}
	return c.execute()
}

func (d *conflictDetector) transact(c *call) (*http.Response, error) {
	var keys []itemKey
	for _, write := range transactItems(parse(c.body)) {
		keys = append(keys, itemKeyOf(write))
	}
	d.sent.Add(1)
	if reasons := d.begin(keys); reasons != nil {
		d.refused.Add(1)
		return cancelFor(reasons)(c)
	}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, k := range keys {
			delete(d.transactions, k)
		}
	}()
	time.Sleep(d.delay)
	return c.execute()
}

// begin reserves the items of a transaction, or returns the reasons why it is
// cancelled.
func (d *conflictDetector) begin(keys []itemKey) []object {
	d.mu.Lock()
	defer d.mu.Unlock()
	reasons, conflict := noReasons(len(keys)), false
	for i, k := range keys {
		if d.transactions[k] || d.writes[k] > 0 {
			reasons[i], conflict = object{"Code": "TransactionConflict"}, true
		}
	}
	if conflict {
		return reasons
	}
	for _, k := range keys {
		d.transactions[k] = true
	}
	return nil
}

func (d *conflictDetector) write(c *call) (*http.Response, error) {
	key := itemKeyOf(parse(c.body))
	d.mu.Lock()
	if d.transactions[key] {
		d.mu.Unlock()
		return databaseError(400, "TransactionConflictException")(c)
	}
	d.writes[key]++
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.writes[key]--
	}()
	return c.execute()
}

// TestConcurrentCreatesWithTransactionConflicts has many processes create leads
// of one account.
func TestConcurrentCreatesWithTransactionConflicts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 0, 0)
	ctx, conflicts := withConflicts(t.Context(), 3*time.Millisecond)
	const processes, creates = 24, 10
	var wg sync.WaitGroup
	for i := range processes {
		process := f.newAPI()
		wg.Go(func() {
			for n := range creates {
				if got := f.sendTo(ctx, process, request{method: "POST", body: fmt.Sprintf(`{"lead_name":"%d of %d"}`, n, i)}); got.status != 201 {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	v := correct
	if total := f.total(t.Context()); total != processes*creates {
		if v = lost; total > processes*creates {
			v = doubled
		}
		t.Errorf("%v: %d leads, want %d", v, total, processes*creates)
	}
	record("transaction conflicts", "create", v)
	if conflicts.refused.Load() == 0 {
		t.Error("no transaction conflicted with another, so this test checked nothing")
	}
	t.Logf("%.2f transactions for each create", float64(conflicts.sent.Load())/(processes*creates))
}

func TestConcurrentCreatesWithOneKeyAndTransactionConflicts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 0, 0)
	ctx, _ := withConflicts(t.Context(), 2*time.Millisecond)
	createWithOneKey(t, ctx, f, 100, 1)
}
