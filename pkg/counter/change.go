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
	route  string                      // of the counts in the item of the window
	leftBy string                      // the route of the others
	keys   []Key                       // of the things that were created
	parts  []part                      // what Writes returned
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
		c.leftBy = string(s)
	}
	counts[fineName(left, s, text)] += n
}

// Key is a name of a thing, such as its id.
type Key [16]byte

// Recent names a thing that the change creates, so that readers know it before an
// index does, see [View.RecentKeys].
func (c *Change) Recent(key Key) { c.keys = append(c.keys, key) }

// Writes returns the change as writes of a transaction, to items of the shard. If
// the condition of one of them is false, call [Shards.Refused].
func (c *Change) Writes(table, prefix string, shard *Shard) (writes []types.TransactWriteItem) {
	shard.enter(c.window)
	partition, size := partition(prefix, countersKind), pageSize
	if len(c.keys) > 1 {
		size = bulkPageSize
	}
	c.parts = nil
	if len(c.now) > 0 {
		c.parts = append(c.parts, shard.part(partition, c.window+"/", c.route, c.now, size))
	}
	for window, counts := range c.left {
		c.parts = append(c.parts, shard.part(partition, window+"/x", c.leftBy, counts, size))
	}
	for i, p := range c.parts {
		var recent []recentKey
		if i == 0 && len(c.keys) > 0 {
			recent = shard.withRecent(c)
		}
		writes = append(writes, p.write(table, recent))
	}
	return writes
}

// write returns the write of a part, with these newest keys.
func (p *part) write(table string, recent []recentKey) types.TransactWriteItem {
	var update expression.UpdateBuilder
	for name, n := range p.counts {
		update = update.Add(expression.Name(name), expression.Value(n))
	}
	if len(recent) > 0 {
		update = update.Set(expression.Name(attrRecent), expression.Value(joinKeys(recent)))
	}
	builder := expression.NewBuilder()
	switch size := expression.Name(attrSize); {
	case p.stored != nil:
		update = update.Set(size, expression.Value(p.size+p.growth))
		builder = builder.WithCondition(size.Equal(expression.Value(*p.stored)))
	case p.growth > 0:
		update = update.Add(size, expression.Value(p.growth))
		builder = builder.WithCondition(size.AttributeNotExists().Or(size.LessThanEqual(expression.Value(p.room))))
	}
	e, err := builder.WithUpdate(update).Build()
	if err != nil {
		panic(err) // only an empty update or an empty name is an error
	}
	write := &types.Update{
		TableName:                 &table,
		Key:                       itemKey(p.partition, p.sortKey),
		UpdateExpression:          e.Update(),
		ConditionExpression:       e.Condition(),
		ExpressionAttributeNames:  e.Names(),
		ExpressionAttributeValues: e.Values(),
	}
	if write.ConditionExpression != nil {
		write.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	return types.TransactWriteItem{Update: write}
}

// The newest keys that a shard wrote stand in its counter item.
const (
	attrRecent = "r"
	attrSize   = "z" // the size of the counts in an item, see shard.go
	maxRecent  = 4
	recentTime = 2 * time.Second // longer than an index usually lags
)

type recentKey struct {
	at  time.Time
	key Key
}

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
