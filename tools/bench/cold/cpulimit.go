package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// fullCPU is the memory in MB at which a function has one processor, see
	// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html.
	fullCPU = 1769

	// cpuPeriod is the period of the limit in microseconds, as observed on
	// Lambda: a process that has used its quota waits for the next period.
	cpuPeriod = 20_000
)

// cpuLimit is a control group with a CPU quota. The methods of a nil limit do
// nothing.
type cpuLimit struct {
	dir string
	v1  bool // in the old hierarchy of control groups
}

// newCPULimit makes the control group, which only root may.
func newCPULimit() (*cpuLimit, error) {
	l := &cpuLimit{dir: "/sys/fs/cgroup"}
	if _, err := os.Stat("/sys/fs/cgroup/cpu"); err == nil {
		l = &cpuLimit{dir: "/sys/fs/cgroup/cpu", v1: true}
	}
	l.dir = filepath.Join(l.dir, "leads-bench-cold")
	if err := os.Mkdir(l.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return l, nil
}

// set sets the quota of a function with that much memory.
func (l *cpuLimit) set(mb int) error {
	if l == nil {
		return nil
	}
	period, quota := strconv.Itoa(cpuPeriod), strconv.Itoa(cpuPeriod*mb/fullCPU)
	if l.v1 {
		return errors.Join(l.write("cpu.cfs_period_us", period), l.write("cpu.cfs_quota_us", quota))
	}
	return l.write("cpu.max", quota+" "+period)
}

// add puts a process with all its threads under the limit.
func (l *cpuLimit) add(pid int) error {
	if l == nil {
		return nil
	}
	return l.write("cgroup.procs", strconv.Itoa(pid))
}

func (l *cpuLimit) write(file, text string) error {
	return os.WriteFile(filepath.Join(l.dir, file), []byte(text), 0o644)
}

func (l *cpuLimit) remove() {
	if l != nil {
		os.Remove(l.dir)
	}
}
