package dynamo_test

import (
	"testing"
	"time"

	"overplane.dev/leads/test/dynamotest"
)

// TestIdempotencyKeyExpires repeats the same create. It creates no second lead
// before the key expires, and one afterwards, for which the key is stored again.
func TestIdempotencyKeyExpires(t *testing.T) {
	table, meter := dynamotest.New(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 900_000_000, time.UTC)
	c := createRequest(t, "Ada", "k")
	for _, call := range []struct {
		after    time.Duration
		replayed bool
	}{
		{0, false},
		{c.Key.TTL / 2, true},
		{c.Key.TTL, true},
		{c.Key.TTL + time.Second, false},
		{2*c.Key.TTL + time.Second, true},
	} {
		table.Now = func() time.Time { return start.Add(call.after) }
		meter.Now = table.Now
		if _, replayed, err := table.Create(t.Context(), loading, c.Values, c.Key); err != nil || replayed != call.replayed {
			t.Errorf("after %v: replayed %v, want %v (error %v)", call.after, replayed, call.replayed, err)
		}
	}
	wantTotal(t, table, 2)
}
