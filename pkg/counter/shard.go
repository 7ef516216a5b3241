package counter

import (
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"sync"
)

// Transactions that write to the same item at the same time cancel each other.
// So each writer that is active has a shard: counter items of its own. No
// process assigns shards to others. A process begins with the first, keeps those
// that work, and draws another at random where it met another process.
//
// Each shard costs readers something, so there are only as many as writers met.
// The draw is from many shards, so that the second attempt nearly always
// succeeds; the simulation in shard_test.go has the numbers.

// maxShards is enough for a thousand processes that each draw their own.
const maxShards = 10_000

// Items of up to 1 KB are the cheapest to write. A shard doubles its pages when
// one outgrows pageSize. A write of many things with different values would fill
// all pages alike, so it may fill a page up to bulkPageSize.
const (
	pageSize     = 900     // bytes
	bulkPageSize = 100_000 // bytes
	maxPages     = 256
)

// Shards are the shards that one process uses. The zero value is ready. It is
// safe for concurrent use.
type Shards struct {
	// Random returns a number from 0 to n-1. It is rand.IntN when nil.
	Random func(n int) int

	mu   sync.Mutex
	free []*Shard // the one that was released last at the end
	used map[int]bool
}

// Shard is one writer's share of the counter items. Only one goroutine may use it
// at a time.
type Shard struct {
	number int

	// What this process wrote in the window: it says how full the pages are.
	window string
	pages  uint32
	counts map[string]*pageCounts // by sort key
	recent []recentKey
}

// pageCounts is what this process wrote in a page.
type pageCounts struct {
	names map[string]bool
	size  int // in bytes, without the key
}

// Acquire returns a shard that no other goroutine of this process uses.
func (s *Shards) Acquire() *Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		shard := s.free[last]
		s.free = s.free[:last]
		return shard
	}
	number := 0
	for s.used[number] {
		number++
	}
	return &Shard{number: s.use(number)}
}

// Release gives a shard back.
func (s *Shards) Release(shard *Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, shard)
}

// Reassign makes the shard another, after its items met another process.
func (s *Shards) Reassign(shard *Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	random := s.Random
	if random == nil {
		random = rand.IntN
	}
	for {
		if n := random(maxShards); !s.used[n] {
			delete(s.used, shard.number)
			*shard = Shard{number: s.use(n)}
			return
		}
	}
}

func (s *Shards) use(number int) int {
	if s.used == nil {
		s.used = map[int]bool{}
	}
	s.used[number] = true
	return number
}

// page returns the sort key of the counter item for these counts. Writes with
// the same route go to the same page, so that the same counts meet again.
func (s *Shard) page(window, route string, counts map[string]int64, size int) string {
	if s.window != window {
		*s = Shard{number: s.number, window: window, pages: 1, counts: map[string]*pageCounts{}, recent: s.recent}
	}
	for ; ; s.pages *= 2 {
		page := crc32.ChecksumIEEE([]byte(route)) % s.pages
		sortKey := window + "/" + strconv.Itoa(s.number) + "." + strconv.Itoa(int(s.pages)) + "." + strconv.Itoa(int(page))
		held := s.counts[sortKey]
		if held == nil {
			held = &pageCounts{names: map[string]bool{}}
			s.counts[sortKey] = held
		}
		more := 0
		for name := range counts {
			if !held.names[name] {
				more += countSize(name)
			}
		}
		if held.size > 0 && held.size+more > size && s.pages < maxPages {
			continue
		}
		held.size += more
		for name := range counts {
			held.names[name] = true
		}
		return sortKey
	}
}

// countSize returns how many bytes a count takes in an item, unless its number is
// large.
func countSize(name string) int { return len(name) + 3 }

// leftPage returns the sort key of the shard's item for what left a window after
// its end.
func (s *Shard) leftPage(window string) string { return window + "/x" + strconv.Itoa(s.number) }
