// Package affinity keeps a function on one processor.
package affinity

import (
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pin keeps all threads of a process that may use one processor at a time
// (GOMAXPROCS=1) on the one that it is on. Where the kernel refuses, nothing
// changes.
//
// Only one thread works at a time, but Linux wakes it wherever a processor is
// idle. There the caches have nothing of it, and of the time that a limited
// process may run in a period, up to a millisecond stays behind on the processor
// it left (https://docs.kernel.org/scheduler/sched-bwc.html). A function with 128
// MB has 1.4 in 20.
func Pin() {
	if runtime.GOMAXPROCS(0) > 1 {
		return
	}
	var here uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&here)), 0, 0); errno != 0 {
		return
	}
	var only unix.CPUSet
	only.Set(int(here))
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, &only) // threads that this one starts have it too
		}
	}
}
