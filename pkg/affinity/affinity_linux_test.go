package affinity_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"overplane.dev/leads/pkg/affinity"
)

// allowed returns how many processors each thread of this process may run on.
func allowed(t *testing.T) map[int]int {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]int{}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(id, &set); err != nil {
			continue // it has ended
		}
		counts[id] = set.Count()
	}
	return counts
}

// newThread has the goroutine run on a thread of its own until the test ends.
func newThread(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(started)
		<-end
	}()
	<-started
	t.Cleanup(func() { close(end) })
}

func TestPin(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	newThread(t)
	affinity.Pin()
	for id, n := range allowed(t) {
		if n != all.Count() {
			t.Errorf("with two at a time, thread %d may run on %d processors of %d", id, n, all.Count())
		}
	}

	runtime.GOMAXPROCS(1)
	defer func() {
		for id := range allowed(t) {
			_ = unix.SchedSetaffinity(id, &all)
		}
	}()
	affinity.Pin()
	for range 3 {
		newThread(t)
	}
	for id, n := range allowed(t) {
		if n != 1 {
			t.Errorf("with one at a time, thread %d may run on %d processors", id, n)
		}
	}
}
