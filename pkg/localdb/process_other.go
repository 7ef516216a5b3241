//go:build unix && !linux

package localdb

import "syscall"

// processAttributes puts the engine in its own process group, so that Ctrl-C in
// the terminal reaches only its parent, which stops the engine last. Outside
// Linux, an engine keeps running when its parent is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
