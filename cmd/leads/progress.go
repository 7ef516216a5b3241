package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// progress shows on a terminal how far a long command is. Elsewhere it is
// silent: the summary is enough for a log.
type progress struct {
	shown    bool
	begun    time.Time
	next     time.Time
	noun     string
	terminal bool
}

func newProgress(noun string) *progress {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &progress{begun: time.Now(), noun: noun, terminal: terminal}
}

// show says that a part of the whole is done, which makes n things.
func (p *progress) show(part, whole int64, n int) {
	const width = 30
	now := time.Now()
	if !p.terminal || now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(100*time.Millisecond), true
	share := 1.0
	if whole > 0 {
		share = min(float64(part)/float64(whole), 1)
	}
	full := int(share * width)
	fmt.Fprintf(os.Stderr, "\r[%s%s] %3.0f %%  %d %s, %.0f a second ", strings.Repeat("#", full), strings.Repeat("-", width-full),
		100*share, n, p.noun, float64(n)/now.Sub(p.begun).Seconds())
}

// clear takes the bar off the terminal.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", 79))
	}
}
