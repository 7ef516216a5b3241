//go:build unix

package localdb

import (
	"os"
	"syscall"
)

// tryLock locks a file until it is closed, exclusively or shared. It returns
// EWOULDBLOCK if the file is locked.
func tryLock(file *os.File, exclusive bool) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	return syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
}
