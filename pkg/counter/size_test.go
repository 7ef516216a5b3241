package counter

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// counterItems are the sizes of counter items by sort key, as changes leave them.
type counterItems map[string]map[string]bool

func (c counterItems) write(change *Change, shard *Shard) {
	change.Writes("leads", "acme/test", shard)
	shard.Written(change)
	sortKey := change.parts[0].sortKey
	if c[sortKey] == nil {
		c[sortKey] = map[string]bool{attrSize: true}
	}
	for name := range change.now {
		c[sortKey][name] = true
	}
	if len(change.recent) > 0 {
		c[sortKey][attrRecent] = true
	}
}

// sizes returns how many items there are, their bytes, and those of the largest.
func (c counterItems) sizes() (items, bytes, largest int) {
	for sortKey, names := range c {
		size := len("pkskacme/test/counters") + len(sortKey)
		for name := range names {
			size += countSize(name)
			if name == attrRecent {
				size += maxRecent * recentSize
			}
		}
		bytes, largest = bytes+size, max(largest, size)
	}
	return len(c), bytes, largest
}

// TestSizeOfCountersOfAnImport creates things for ten minutes: a hundred a second,
// one at a time by ten writers, or a thousand, 24 in each write of two writers. A
// list reads all these counter items until they are sealed.
func TestSizeOfCountersOfAnImport(t *testing.T) {
	for _, test := range []struct{ rate, writers, batch, owners, kilobytes int }{
		{100, 10, 1, 1, 8}, {100, 10, 1, 20, 15}, {100, 10, 1, 200, 200},
		{1000, 2, 24, 1, 2}, {1000, 2, 24, 200, 8}, {1000, 2, 24, 2000, 80},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		items, start := counterItems{}, time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
		shards := make([]Shard, test.writers)
		for i := range shards {
			shards[i].number = i
		}
		for i := range 600 * test.rate / test.batch {
			at := start.Add(time.Duration(i*test.batch) * time.Second / time.Duration(test.rate))
			c := NewChange(at)
			for n := range test.batch {
				c.Count(All, at, 1)
				c.Count(SeriesOf("status", fmt.Sprint(random.IntN(5))), at, 1)
				c.Count(SeriesOf("lead_owner", fmt.Sprint(random.IntN(test.owners))), at, 1)
				c.Recent([16]byte{byte(n)}, true)
			}
			items.write(c, &shards[i%len(shards)])
		}
		n, bytes, largest := items.sizes()
		t.Logf("%d a second, %d in each write, %d owners: %d items, %d KB, the largest %d bytes", test.rate, test.batch, test.owners, n, bytes>>10, largest)
		if bytes>>10 > test.kilobytes || test.batch == 1 && largest > 1024 {
			t.Errorf("%d in each write, %d owners: %d KB, the largest %d bytes", test.batch, test.owners, bytes>>10, largest)
		}
	}
}

// TestSizeOfCountersOfABulkChange changes the status of 10,000 things that were
// created over two years, 18 a second.
func TestSizeOfCountersOfABulkChange(t *testing.T) {
	items, shard, left := counterItems{}, &Shard{}, 0
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for i := range 10_000 {
		at := start.Add(time.Duration(i) * 55 * time.Millisecond)
		created := start.Add(-time.Duration(i) * 2 * 365 * 24 * time.Hour / 10_000).Add(-time.Hour)
		c := NewChange(at)
		c.Count(SeriesOf("status", "Open"), created, -1)
		c.Count(SeriesOf("status", "Lost"), created, 1)
		left += len(c.left)
		items.write(c, shard)
	}
	for sortKey := range items {
		if sortKey[:windowLength] != windowOf(start) {
			delete(items, sortKey)
		}
	}
	n, bytes, largest := items.sizes()
	t.Logf("%d items, %d KB, the largest %d bytes; %d writes to old windows", n, bytes>>10, largest, left)
	if bytes>>10 > 60 || largest > 1024 {
		t.Errorf("%d KB in %d items, the largest %d bytes", bytes>>10, n, largest)
	}
}
