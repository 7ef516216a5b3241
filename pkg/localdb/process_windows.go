package localdb

import (
	"errors"
	"os"
	"syscall"
)

// Engines do not run on Windows. These functions let the commands of leads that
// need no engine be built for it.

func tryLock(*os.File, bool) error { return errors.ErrUnsupported }

func processAttributes() *syscall.SysProcAttr { return nil }
