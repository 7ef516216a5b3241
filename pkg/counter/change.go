package counter

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Change is what one transaction changes of the counts. Make one with
// [NewChange].
type Change struct {
	at     time.Time
	window string
	now    map[string]int64            // counts in the item of the window
	left   map[string]map[string]int64 // counts of things created in other windows, by window
	route  string
	keys   []Key // of the things that were created
}

// NewChange returns a change that takes effect at this time. The request that
// writes it must be signed with the same time: then DynamoDB itself refuses a
// write that comes so late that its window may be sealed.
func NewChange(at time.Time) *Change {
	return &Change{at: at, window: windowOf(at), now: map[string]int64{}, left: map[string]map[string]int64{}}
}

// At returns the time of the change.
func (c *Change) At() time.Time { return c.at }

// Created counts a thing that is created at this time in a series. The time
// should be in the window of the change.
func (c *Change) Created(s Series, at time.Time) {
	text := Timestamp(at)
	if text[:windowLength] != c.window {
		c.Joined(s, at)
		return
	}
	c.now[fineName(created, s, text)]++
	c.route = string(s)
}

// Joined counts a thing in one more series, after its creation at this time.
func (c *Change) Joined(s Series, at time.Time) { c.move(s, at, -1) }

// Left takes a thing that was created at this time from a series.
func (c *Change) Left(s Series, at time.Time) { c.move(s, at, 1) }

func (c *Change) move(s Series, at time.Time, n int64) {
	text := Timestamp(at)
	window := text[:windowLength]
	c.now[dayName(s, text)] += n
	c.route = dayOf(text)
	counts := c.now
	if window != c.window {
		if c.left[window] == nil {
			c.left[window] = map[string]int64{}
		}
		counts = c.left[window]
	}
	counts[fineName(left, s, text)] += n
}

// Key is a name of a thing, such as its id.
type Key [16]byte

// Recent names a thing that the change creates, so that readers know it before an
// index does, see [View.RecentKeys].
func (c *Change) Recent(key Key) { c.keys = append(c.keys, key) }

// Writes returns the change as writes of a transaction, to items of the shard.
func (c *Change) Writes(table, prefix string, shard *Shard) (writes []types.TransactWriteItem) {
	if len(c.now) > 0 {
		size := pageSize
		if len(c.keys) > 1 {
			size = bulkPageSize
		}
		update := addCounts(c.now)
		if len(c.keys) > 0 {
			update = update.Set(expression.Name(attrRecent), expression.Value(joinKeys(shard.withRecent(c))))
		}
		writes = append(writes, updateItem(table, prefix, shard.page(c.window, c.route, c.now, size), update))
	}
	for window, counts := range c.left {
		writes = append(writes, updateItem(table, prefix, shard.leftPage(window), addCounts(counts)))
	}
	return writes
}

func addCounts(counts map[string]int64) (update expression.UpdateBuilder) {
	for name, n := range counts {
		update = update.Add(expression.Name(name), expression.Value(n))
	}
	return update
}

func updateItem(table, prefix, sortKey string, update expression.UpdateBuilder) types.TransactWriteItem {
	e, err := expression.NewBuilder().WithUpdate(update).Build()
	if err != nil {
		panic(err) // only an empty update or an empty name is an error
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 &table,
		Key:                       itemKey(partition(prefix, countersKind), sortKey),
		UpdateExpression:          e.Update(),
		ExpressionAttributeNames:  e.Names(),
		ExpressionAttributeValues: e.Values(),
	}}
}

// The newest keys that a shard wrote stand in its counter item.
const (
	attrRecent = "r"
	maxRecent  = 4
	recentTime = 2 * time.Second // longer than an index usually lags
)

type recentKey struct {
	at  time.Time
	key Key
}

// Written tells the shard that a change was written.
func (s *Shard) Written(c *Change) { s.recent = s.withRecent(c) }

// withRecent returns the newest keys of the shard, the oldest first, with those
// of a change.
func (s *Shard) withRecent(c *Change) []recentKey {
	var recent []recentKey
	for _, k := range s.recent {
		if c.at.Sub(k.at) < recentTime {
			recent = append(recent, k)
		}
	}
	for _, key := range c.keys {
		recent = append(recent, recentKey{c.at, key})
	}
	return recent[max(0, len(recent)-maxRecent):]
}

func joinKeys(recent []recentKey) (joined []byte) {
	for _, k := range recent {
		joined = append(joined, k.key[:]...)
	}
	return joined
}
