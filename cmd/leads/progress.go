package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// progressBar shows the progress of a long command on a terminal. It writes
// nothing if stderr is not a terminal.
type progressBar struct {
	noun     string // what is counted, such as leads
	terminal bool
	started  time.Time
	updated  time.Time
}

func newProgressBar(noun string) *progressBar {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &progressBar{noun: noun, terminal: terminal, started: time.Now()}
}

// update shows that done of total parts are finished, with count items, at most
// ten times a second.
func (p *progressBar) update(done, total, count int64) {
	const width = 30
	if !p.terminal || time.Since(p.updated) < 100*time.Millisecond {
		return
	}
	p.updated = time.Now()
	share := min(float64(done)/float64(max(total, 1)), 1)
	full := int(share * width)
	fmt.Fprintf(os.Stderr, "\r[%s%s] %3.0f %%  %d %s, %.0f a second ",
		strings.Repeat("#", full), strings.Repeat("-", width-full),
		100*share, count, p.noun, float64(count)/time.Since(p.started).Seconds())
}

// clear removes the bar from the terminal.
func (p *progressBar) clear() {
	if !p.updated.IsZero() {
		fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", 79))
	}
}
