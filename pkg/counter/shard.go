package counter

import (
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Transactions that write to the same item at the same time cancel each other.
// So each concurrent writer has a shard: counter items of its own. No process
// assigns shards to others. A process begins with the first shards. After a
// conflict with another process it replaces the shard by another, at random.
//
// Each shard makes reading more expensive, so a process takes another shard
// only after a conflict, or when a page of its shard is full. It chooses from
// many, so that the second attempt nearly always succeeds; the simulation in
// shard_test.go has the numbers.

// maxShards is enough for a thousand processes that each choose their own.
const maxShards = 10_000

// Items of up to 1 KB are the cheapest to write. A shard doubles its pages when
// one outgrows pageSize. A write of many things with different values would fill
// all pages alike, so it may fill a page up to bulkPageSize.
//
// A process does not know what others wrote to a page before it. So each page
// holds the size of its counts, as its writers know it: where two write the same
// count, its size is added twice. A write that makes a page larger has the
// condition that the page has room for it. If that is false, DynamoDB returns the
// page, so that the next attempt knows its counts.
const (
	pageSize     = 900     // bytes
	bulkPageSize = 100_000 // bytes
	maxPages     = 256
	maxItemSize  = 400_000 // bytes, of DynamoDB
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

	// What this process knows of the pages that it wrote in the window.
	window string
	pages  map[string]uint32     // how many there are, by what their keys begin with
	held   map[string]pageCounts // by partition and sort key
	recent []RecentKey           // see Change.Recent
}

// pageCounts are the counts in a page.
type pageCounts struct {
	names  map[string]bool
	size   int    // in bytes, without the key
	stored *int64 // the size that the page says, if this process has read it
}

// growth returns how much larger these counts make the page.
func (p *pageCounts) growth(counts map[string]int64) (bytes int) {
	for name := range counts {
		if !p.names[name] {
			bytes += countSize(name)
		}
	}
	if p.size == 0 {
		bytes += countSize(attrSize)
	}
	return bytes
}

func (p *pageCounts) add(name string) {
	if p.names == nil {
		p.names, p.size = map[string]bool{}, countSize(attrSize)
	}
	if !p.names[name] {
		p.names[name] = true
		p.size += countSize(name)
	}
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

// Reassign gives the shard another number, after a conflict with another
// process.
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

// enter forgets what the shard knows of another window.
func (s *Shard) enter(window string) {
	if s.window != window {
		*s = Shard{number: s.number, window: window, pages: map[string]uint32{}, held: map[string]pageCounts{}, recent: s.recent}
	}
}

// part is what a change writes to one page.
type part struct {
	partition, sortKey string
	counts             map[string]int64
	pageCounts             // what the page has, as far as is known
	growth             int // of the page, in bytes
	room               int // the largest size that the page may have before
}

// part returns the page for these counts, of those whose sort keys begin with
// kind and the number of the shard. Writes with the same route go to the same
// page, so that a count is always in the same page.
func (s *Shard) part(partition, kind, route string, counts map[string]int64, size int) part {
	kind += strconv.Itoa(s.number) + "."
	for pages := max(1, s.pages[partition+kind]); ; pages *= 2 {
		s.pages[partition+kind] = pages
		page := crc32.ChecksumIEEE([]byte(route)) % pages
		sortKey := kind + strconv.Itoa(int(pages)) + "." + strconv.Itoa(int(page))
		held := s.held[partition+sortKey]
		growth := held.growth(counts)
		if pages == maxPages {
			size = maxItemSize
		}
		if held.size == 0 || held.size+growth <= size {
			return part{partition, sortKey, counts, held, growth, size - growth}
		}
	}
}

// Written tells the shard that a change was written.
func (s *Shard) Written(c *Change) {
	s.recent = s.withRecent(c)
	for _, p := range c.parts {
		held := s.held[p.partition+p.sortKey]
		for name := range p.counts {
			held.add(name)
		}
		held.stored = nil
		s.held[p.partition+p.sortKey] = held
	}
}

// Refused tells the shard that a change was not written, because the page of part i
// had no room for it, and what the page contains. If the page is really full, the
// shard is reassigned.
func (s *Shards) Refused(shard *Shard, c *Change, i int, page map[string]types.AttributeValue) {
	if shard.window != c.window {
		return // the shard was reassigned, because another page of the change is full
	}
	p, held := c.parts[i], pageCounts{}
	if size, ok := page[attrSize]; ok { // or else the page was deleted by hand
		stored := numberOf(size)
		held.stored = &stored
	}
	for name := range page {
		if _, _, _, ok := spanOf(p.sortKey, name); ok {
			held.add(name)
		}
	}
	if held.size+held.growth(p.counts) > p.room+p.growth {
		s.Reassign(shard)
		return
	}
	shard.held[p.partition+p.sortKey] = held
}

// countSize returns how many bytes a count takes in an item, unless its number is
// large.
func countSize(name string) int { return len(name) + 3 }
