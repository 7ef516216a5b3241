package dynamo

import (
	"strconv"
	"sync"
)

// Transactions that touch one item at the same time cancel each other, so the
// books of a period are kept in several copies, its lanes, and every writer
// that is under way has a lane for itself. Nobody assigns lanes: a process
// begins with the first, keeps those that work, and where one met another
// process it draws again from all there are.
//
// A lane costs a list some reading, so there are as many as writers that met,
// not more. That the first draw is from all lanes and not from a few settles
// the matter at once; the simulation in lane_test.go has the numbers.

// allLanes is how many lanes there are: enough for a thousand processes to draw
// each its own.
const allLanes = 10_000

// bookFull is the size in bytes after which a lane turns to a new page: up to
// 1 KB an item is written for half the price of a larger one.
const bookFull = 900

// lanes are the lanes of one process.
type lanes struct {
	intN func(int) int // such as rand.IntN

	mu   sync.Mutex
	free []*lane // those not in use, the last used last
	held map[int]bool
}

// lane is a writer's own copy of the books.
type lane struct {
	number int

	// What this process wrote into the current page, to know when it is full.
	period string
	page   int
	size   int
	leads  int64
	marks  map[string]bool
}

// take returns a lane that nobody else in this process uses.
func (l *lanes) take() *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.free) - 1; last >= 0 {
		taken := l.free[last]
		l.free = l.free[:last]
		return taken
	}
	number := 0
	for l.held[number] {
		number++
	}
	taken := l.hold(number)
	return &taken
}

// give returns a lane after use.
func (l *lanes) give(used *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, used)
}

// redraw is called when the books in this lane met another process. It makes
// the lane another.
func (l *lanes) redraw(met *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if n := l.intN(allLanes); !l.held[n] {
			delete(l.held, met.number)
			*met = l.hold(n)
			return
		}
	}
}

func (l *lanes) hold(number int) lane {
	if l.held == nil {
		l.held = map[int]bool{}
	}
	l.held[number] = true
	return lane{number: number}
}

// book returns the name of the lane's page for the period, which has room for
// so many leads and these marks.
//
// A process that begins within a period does not know how full the pages are
// that others wrote before it, so it begins with the page of its half.
func (l *lane) book(period string, leads int64, marks ...mark) string {
	switch {
	case l.period != period:
		l.turn(period, marks[0].half())
	case l.size > bookFull || l.leads+leads > bookMost:
		l.turn(period, l.page+1)
	}
	for _, m := range marks {
		if !l.marks[m.name] {
			l.marks[m.name] = true
			l.size += m.size()
		}
	}
	l.leads += leads
	return period + "/" + strconv.Itoa(l.number) + "." + strconv.Itoa(l.page)
}

// turn begins with a page.
func (l *lane) turn(period string, page int) {
	*l = lane{number: l.number, period: period, page: page, marks: map[string]bool{}}
}

// lossBook returns the name of the lane's page for what a period lost after
// its end.
func (l *lane) lossBook(period string) string {
	return period + "/x" + strconv.Itoa(l.number)
}

// repairBook returns the name of the lane's page for what an audit puts right:
// a page apart, since that may be fewer leads than none.
func (l *lane) repairBook(period string) string {
	return period + "/r" + strconv.Itoa(l.number)
}
