package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// progressBar shows the progress of a long command on a terminal. It writes
// nothing if stderr is not a terminal. It is safe for concurrent use.
type progressBar struct {
	mu       sync.Mutex
	noun     string // what is counted, such as leads
	terminal bool
	started  time.Time
	updated  time.Time
}

func newProgressBar(noun string) *progressBar {
	return &progressBar{noun: noun, terminal: isTerminal(os.Stderr), started: time.Now()}
}

// update shows that done of total parts are finished, with count items, at most
// ten times a second. If total is 0, it is not known.
func (p *progressBar) update(done, total, count int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && time.Since(p.updated) >= 100*time.Millisecond {
		p.updated = time.Now()
		fmt.Fprintf(os.Stderr, "\r%-79s", formatProgress(p.noun, done, total, count, time.Since(p.started)))
	}
}

// formatProgress returns the bar, the rate and the time that is left.
func formatProgress(noun string, done, total, count int64, elapsed time.Duration) string {
	const width = 20
	text := fmt.Sprintf("%d %s, %.0f a second", count, noun, float64(count)/elapsed.Seconds())
	if total == 0 || done == 0 {
		return text
	}
	share := min(float64(done)/float64(total), 1)
	full := int(share * width)
	left := time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second)
	return fmt.Sprintf("[%s%s] %3.0f %%  %s, %v left", strings.Repeat("#", full), strings.Repeat("-", width-full), 100*share, text, left)
}

// clear removes the bar from the terminal.
func (p *progressBar) clear() {
	if !p.updated.IsZero() {
		fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", 79))
	}
}
