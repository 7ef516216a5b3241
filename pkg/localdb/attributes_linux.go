package localdb

import "syscall"

// attributes of an engine's process: it does not get the terminal's Ctrl-C, so
// that its parent can first answer what is under way, and it is killed when its
// parent ends without stopping it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
