package counter

import (
	"slices"
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
	recent []RecentKey                 // things that are created or removed
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

// Count adds n things that were created at this time to a series, or takes -n
// away: a thing that is created now, joins a series, leaves one, or is removed.
func (c *Change) Count(s Series, createdAt time.Time, n int64) {
	text := Timestamp(createdAt)
	window := text[:windowLength]
	if window == c.window {
		c.now[fineName(created, s, text)] += n
		c.route = string(s)
		return
	}
	c.now[dayName(s, text)] -= n
	c.route = dayOf(text)
	c.leftBy = string(s)
	if c.left[window] == nil {
		c.left[window] = map[string]int64{}
	}
	c.left[window][fineName(left, s, text)] -= n
}

// RecentKey names a thing that was created or removed, by its id or the like.
type RecentKey struct {
	Key       [16]byte
	IsCreated bool

	// IsOldest says that the shard made other changes before, which are not
	// named.
	IsOldest bool

	at time.Time
}

// Recent names a thing that the change creates or removes, so that readers know
// that before an index does, see [View].
func (c *Change) Recent(key [16]byte, isCreated bool) {
	c.recent = append(c.recent, RecentKey{Key: key, IsCreated: isCreated, at: c.at})
}

// Writes returns the change as writes of a transaction, to items of the shard. If
// the condition of one of them is false, call [Shards.Refused].
func (c *Change) Writes(table, prefix string, shard *Shard) (writes []types.TransactWriteItem) {
	shard.enter(c.window)
	partition, size := partition(prefix, countersKind), pageSize
	if len(c.recent) > 1 {
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
		var recent []RecentKey
		if i == 0 && len(c.recent) > 0 {
			recent = shard.withRecent(c)
		}
		writes = append(writes, p.write(table, recent))
	}
	return writes
}

// write returns the write of a part, with these newest keys.
func (p *part) write(table string, recent []RecentKey) types.TransactWriteItem {
	var update expression.UpdateBuilder
	for name, n := range p.counts {
		update = update.Add(expression.Name(name), expression.Value(n))
	}
	if len(recent) > 0 {
		update = update.Set(expression.Name(attrRecent), expression.Value(joinRecent(recent)))
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

// A counter item names the last things that its shard created or removed: a letter
// for each, and its key. Names that are old are left out, to save bytes.
const (
	attrRecent = "k"
	attrSize   = "z" // the size of the counts in an item, see shard.go
	maxRecent  = 4
	recentTime = 2 * time.Second // longer than an index usually lags
	recentSize = 1 + len(RecentKey{}.Key)
)

// withRecent returns the last changes of the shard, the oldest first, with those
// of a change.
func (s *Shard) withRecent(c *Change) []RecentKey {
	recent := slices.Concat(s.recent, c.recent)
	recent = slices.DeleteFunc(recent, func(k RecentKey) bool { return c.at.Sub(k.at) > recentTime })
	return recent[max(0, len(recent)-maxRecent):]
}

func joinRecent(recent []RecentKey) (joined []byte) {
	for _, k := range recent {
		letter := byte(left)
		if k.IsCreated {
			letter = created
		}
		joined = append(append(joined, letter), k.Key[:]...)
	}
	return joined
}

func parseRecent(it item) (recent []RecentKey) {
	joined, ok := it[attrRecent].(*types.AttributeValueMemberB)
	if !ok || len(joined.Value) == 0 || len(joined.Value)%recentSize != 0 {
		return nil
	}
	for part := range slices.Chunk(joined.Value, recentSize) {
		recent = append(recent, RecentKey{Key: [16]byte(part[1:]), IsCreated: part[0] == created})
	}
	recent[0].IsOldest = len(recent) == maxRecent
	return recent
}
