package dynamo

import (
	"math/rand/v2"
	"strconv"
	"sync"
)

// Transactions that touch one item at the same time cancel each other, so the
// books of a period are kept in several copies, its lanes, and every writer
// that is under way has a lane for itself. Nobody assigns lanes: a process
// keeps those that worked, and where one met another process it draws again
// from twice as many.

// maxWidth bounds the range from which lanes are drawn: a thousand writers at
// once are more than one partition of DynamoDB serves.
const maxWidth = 1024

// bookFull is the size in bytes after which a lane turns to a new page: up to
// 1 KB an item is written for half the price of a larger one.
const bookFull = 900

// lanes are the lanes of one process. The zero value is ready.
type lanes struct {
	mu    sync.Mutex
	free  []*lane // those not in use, the last used last
	held  map[int]bool
	width int
}

// lane is a writer's own copy of the books.
type lane struct {
	number int

	// What this process wrote into the current page, to know when it is full.
	period string
	page   int
	size   int
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
	return &lane{number: l.draw()}
}

// give returns a lane after use.
func (l *lanes) give(used *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, used)
}

// widen is called when the books in this lane met another process.
func (l *lanes) widen(met *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.width = min(2*l.width, maxWidth)
	delete(l.held, met.number)
	*met = lane{number: l.draw()}
}

// draw returns the number of a lane that this process does not hold.
func (l *lanes) draw() int {
	if l.held == nil {
		l.held, l.width = map[int]bool{}, 1
	}
	for l.width <= len(l.held) {
		l.width *= 2
	}
	for {
		if n := rand.IntN(l.width); !l.held[n] {
			l.held[n] = true
			return n
		}
	}
}

// book returns the name of the lane's page for the period, which has room for
// these marks.
//
// A process that begins within a period does not know how full the pages are
// that others wrote before it, so it begins with the page of its minute.
func (l *lane) book(period string, marks ...string) string {
	if l.period != period {
		l.period, l.page, l.size, l.marks = period, pageOf(marks[0], 2), 0, map[string]bool{}
	}
	if l.size > bookFull {
		l.page, l.size, l.marks = l.page+1, 0, map[string]bool{}
	}
	for _, m := range marks {
		if !l.marks[m] {
			l.marks[m] = true
			l.size += len(m) + 4 // and a small number
		}
	}
	return period + "/" + strconv.Itoa(l.number) + "." + strconv.Itoa(l.page)
}

// lossBook returns the name of the lane's page for what a period lost after
// its end. There is one page to five minutes, so that none outgrows 1 KB.
func (l *lane) lossBook(period, mark string) string {
	return period + "/x" + strconv.Itoa(l.number) + "." + strconv.Itoa(pageOf(mark, 5))
}

// pageOf returns the page of a cell's mark, where there is one page to so many
// minutes. A mark that is of no cell is on the first.
func pageOf(mark string, minutes int) int {
	if mark[0] == 'd' {
		return 0
	}
	return int(mark[1]-'0') / minutes
}
