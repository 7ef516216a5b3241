package localdb

import (
	"bytes"
	"strings"
	"sync"
)

// outputKept is how many bytes of an engine's output are kept.
const outputKept = 2 << 10

// output is what an engine writes. It keeps the end of it, for the error when
// the engine fails, and notices when the engine says that it listens.
type output struct {
	listening chan struct{} // closed when it does

	mu  sync.Mutex
	end []byte
}

func newOutput() *output {
	return &output{listening: make(chan struct{})}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end = append(o.end, p...)
	if !o.listens() && bytes.Contains(o.end, []byte("listening on")) {
		close(o.listening)
	}
	if extra := len(o.end) - outputKept; extra > 0 {
		o.end = append([]byte(nil), o.end[extra:]...)
	}
	return len(p), nil
}

func (o *output) listens() bool {
	select {
	case <-o.listening:
		return true
	default:
		return false
	}
}

// String returns the end of the output on one line.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(strings.Fields(string(o.end)), " ")
}
