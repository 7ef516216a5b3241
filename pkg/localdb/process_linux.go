package localdb

import "syscall"

// processAttributes puts the engine in its own process group, so that Ctrl-C in
// the terminal reaches only its parent, which stops the engine last. Linux also
// kills the engine when its parent ends without stopping it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
