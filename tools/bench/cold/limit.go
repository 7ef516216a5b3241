package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// wholeCore is the memory in MB at which a function has one processor, see
	// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html.
	wholeCore = 1769

	// period is that of the kernel's accounts in microseconds: a function that
	// has used its share waits for the next. Lambda's is 20 ms as others have
	// observed.
	period = 20_000
)

// A limit is a control group with a share of the processor. Where there can be
// none, err says why, and its methods do nothing.
type limit struct {
	dir string
	v1  bool
	err error
}

// openLimit makes the group, in the old hierarchy of control groups or the new
// one. Only root may.
func openLimit() *limit {
	const name = "leads-bench-cold"
	old, current := filepath.Join("/sys/fs/cgroup/cpu", name), filepath.Join("/sys/fs/cgroup", name)
	for _, l := range []*limit{{dir: old, v1: true}, {dir: current}} {
		if err := os.Mkdir(l.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			continue
		}
		if l.set(wholeCore) == nil {
			return l
		}
		os.Remove(l.dir)
	}
	return &limit{err: fmt.Errorf("no control group can be made in /sys/fs/cgroup")}
}

// set gives the group the share of a function with so much memory.
func (l *limit) set(mb int) error {
	if l.err != nil {
		return nil
	}
	quota := strconv.Itoa(period * mb / wholeCore)
	// The greatest weight: what else runs on the machine is to matter little.
	if !l.v1 {
		return errors.Join(l.write("cpu.weight", "10000"), l.write("cpu.max", quota+" "+strconv.Itoa(period)))
	}
	if err := l.write("cpu.shares", "262144"); err != nil {
		return err
	}
	if err := l.write("cpu.cfs_period_us", strconv.Itoa(period)); err != nil {
		return err
	}
	return l.write("cpu.cfs_quota_us", quota)
}

// add puts a process under the limit, with all its threads.
func (l *limit) add(pid int) error {
	if l.err != nil {
		return nil
	}
	return l.write("cgroup.procs", strconv.Itoa(pid))
}

func (l *limit) write(file, text string) error {
	return os.WriteFile(filepath.Join(l.dir, file), []byte(text), 0o644)
}

func (l *limit) close() {
	if l.err == nil {
		os.Remove(l.dir)
	}
}
