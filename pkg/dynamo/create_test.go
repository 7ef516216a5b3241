package dynamo_test

import (
	"testing"
	"time"

	"overplane.dev/leads/test/dynamotest"
)

// TestKeyIsKeptForItsTime sends the same create again and again: until its key's
// time is over it makes no second lead, and then it makes one, whose key is kept
// as long.
func TestKeyIsKeptForItsTime(t *testing.T) {
	table, _ := dynamotest.New(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 900_000_000, time.UTC)
	c := named(t, "Ada", "k")
	for _, sent := range []struct {
		after    time.Duration
		replayed bool
	}{
		{0, false},
		{c.Key.TTL / 2, true},
		{c.Key.TTL, true},
		{c.Key.TTL + time.Second, false},
		{2*c.Key.TTL + time.Second, true},
	} {
		table.Now = func() time.Time { return start.Add(sent.after) }
		if _, replayed, err := table.Create(t.Context(), loading, c.Values, c.Key); err != nil || replayed != sent.replayed {
			t.Errorf("after %v: replayed %v, want %v (error %v)", sent.after, replayed, sent.replayed, err)
		}
	}
	wantTotal(t, table, 2)
}
