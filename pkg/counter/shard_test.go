package counter

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	held = 8 * time.Millisecond // how long a transaction is under way

	// The pause before another attempt is random, up to a bound that doubles.
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// sim is a discrete-event simulation of creates in one account. Transactions that
// overlap on a counter item cancel each other, both of them.
type sim struct {
	random    *rand.Rand
	now       time.Duration
	events    events
	underWay  map[string][]*attempt // by counter item
	processes []*Shards
	idle      []*Shards // each as often as it can take another create

	creates, attempts int
}

type attempt struct{ cancelled bool }

type event struct {
	at time.Duration
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *sim) after(d time.Duration, do func()) { heap.Push(&s.events, event{s.now + d, do}) }

// try makes one attempt at a create with this shard, and others until one
// succeeds. The leads have one of five statuses and of twenty owners.
func (s *sim) try(process *Shards, shard *Shard, n int, done func()) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(s.now)
	c := NewChange(at)
	c.Count(All, at, 1)
	c.Count(SeriesOf("status", fmt.Sprint(s.random.IntN(5))), at, 1)
	c.Count(SeriesOf("lead_owner", fmt.Sprint(s.random.IntN(20))), at, 1)
	page := *c.Writes("leads", "acme/test", shard)[0].Update.Key[attrSK].(*types.AttributeValueMemberS)
	mine := &attempt{}
	for _, other := range s.underWay[page.Value] {
		mine.cancelled, other.cancelled = true, true
	}
	s.underWay[page.Value] = append(s.underWay[page.Value], mine)
	s.attempts++
	s.after(held, func() {
		s.underWay[page.Value] = s.underWay[page.Value][1:] // they end in the order of their begin
		if mine.cancelled {
			process.Reassign(shard)
			pause := min(firstPause<<min(n, 5), maxPause)
			s.after(time.Duration(s.random.Int64N(int64(pause))), func() { s.try(process, shard, n+1, done) })
			return
		}
		process.Release(shard)
		done()
	})
}

// run has creates arrive at random, so many a second. Each goes to a random
// process that can take another one, or starts a process.
func (s *sim) run(rate, each int, d time.Duration) {
	var arrive func()
	arrive = func() {
		if s.now > d {
			return
		}
		s.creates++
		if len(s.idle) == 0 {
			s.start(each)
		}
		i, last := s.random.IntN(len(s.idle)), len(s.idle)-1
		process := s.idle[i]
		s.idle[i] = s.idle[last]
		s.idle = s.idle[:last]
		s.try(process, process.Acquire(), 0, func() { s.idle = append(s.idle, process) })
		s.after(time.Duration(s.random.ExpFloat64()*float64(time.Second)/float64(rate)), arrive)
	}
	arrive()
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
}

// start starts a process that can have so many creates under way.
func (s *sim) start(each int) {
	process := &Shards{Random: s.random.IntN}
	s.processes = append(s.processes, process)
	for range each {
		s.idle = append(s.idle, process)
	}
}

// TestShardsKeepWritersApart has creates arrive in one account. All processes
// begin within the time that is simulated, and choose their shards in it.
func TestShardsKeepWritersApart(t *testing.T) {
	for _, test := range []struct {
		rate      int // creates a second
		processes int // at first
		each      int // creates that a process can have under way
		attempts  float64
	}{
		{10, 20, 1, 1.1},
		{100, 100, 1, 1.1},
		{1000, 0, 1, 1.1},
		{1000, 100, 1, 1.1},
		{1000, 1000, 1, 1.1},
		{5000, 0, 1, 1.2},
		{5000, 1000, 1, 1.2},
		{1000, 1, 1000, 1},
		{5000, 1, 1000, 1},
		{5000, 8, 100, 1.01},
	} {
		t.Run(fmt.Sprintf("%d creates a second from %d processes with %d under way each", test.rate, test.processes, test.each), func(t *testing.T) {
			s := &sim{random: rand.New(rand.NewPCG(1, 2)), underWay: map[string][]*attempt{}}
			for range test.processes {
				s.start(test.each)
			}
			s.run(test.rate, test.each, 20*time.Second)
			used := map[int]bool{}
			for _, process := range s.processes {
				for _, shard := range process.free {
					used[shard.number] = true
				}
			}
			attempts := float64(s.attempts) / float64(s.creates)
			t.Logf("%.3f attempts per create, in %d shards of %d processes", attempts, len(used), len(s.processes))
			if attempts > test.attempts {
				t.Errorf("%.3f attempts per create, want at most %v", attempts, test.attempts)
			}
		})
	}
}
