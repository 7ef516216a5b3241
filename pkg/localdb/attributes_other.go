//go:build !linux

package localdb

import "syscall"

// attributes of an engine's process: it does not get the terminal's Ctrl-C, so
// that its parent can first answer what is under way. Only Linux can end it
// with its parent: elsewhere it outlives one that was killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
