package localdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A dataDir is a directory that keeps an engine's data. It holds
//
//	leads.db     the data, and beside it what SQLite adds
//	engine.json  where the engine that runs over it listens
//
// An engine holds a lock on engine.json as long as it lives. So the file can
// be believed while it is locked, and no two engines share the data.
type dataDir struct {
	path string
	lock *os.File // engine.json
}

// notice is the content of engine.json.
type notice struct {
	Endpoint string `json:"endpoint"`
	PID      int    `json:"pid"` // of the engine
}

// claimDir makes the directory where it does not exist and locks it. Whatever
// is made is for its owner alone.
func claimDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made, give another: %w", err)
	}
	lock, err := openPrivate(filepath.Join(path, "engine.json"))
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be used, give another: %w", err)
	}
	d := &dataDir{path, lock}
	if err := d.acquire(); err != nil {
		d.Close()
		return nil, err
	}
	// SQLite would make this one readable for everyone. Those that it makes
	// later get the mode of this one.
	data, err := openPrivate(d.dataFile())
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("the data directory cannot be used, give another: %w", err)
	}
	data.Close()
	return d, nil
}

func openPrivate(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}

// acquire locks the directory. It tries again for a moment, because Running
// holds the lock for the blink of an eye.
func (d *dataDir) acquire() error {
	var err error
	for range 10 {
		err = syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err == syscall.EWOULDBLOCK {
		return fmt.Errorf("another process uses the data in %s: end it (leads serve) or give another data directory", d.path)
	}
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be locked, give one on a local disk: %w", d.path, err)
	}
	return nil
}

// handTo has the command use the directory and inherit the lock, which lasts
// until the last of those who have it has ended.
func (d *dataDir) handTo(cmd *exec.Cmd) {
	cmd.Args = append(cmd.Args, "--db-path", d.dataFile())
	cmd.ExtraFiles = []*os.File{d.lock}
}

func (d *dataDir) dataFile() string {
	return filepath.Join(d.path, "leads.db")
}

// announce writes where the engine listens.
func (d *dataDir) announce(e *Engine) error {
	text, err := json.Marshal(notice{e.endpoint, e.cmd.Process.Pid})
	if err != nil {
		return err
	}
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err = d.lock.WriteAt(append(text, '\n'), 0)
	return err
}

// Close gives up this process's hold on the lock.
func (d *dataDir) Close() error { return d.lock.Close() }

// Running returns the endpoint of the engine that runs over the data in dir.
// It is not ok when none does.
func Running(dir string) (endpoint string, ok bool, err error) {
	file, err := os.Open(filepath.Join(dir, "engine.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err != syscall.EWOULDBLOCK {
		return "", false, err
	}
	var n notice
	// An engine that is just starting has announced nothing yet.
	if err := json.NewDecoder(file).Decode(&n); err != nil {
		return "", false, fmt.Errorf("the engine over %s is starting, try again in a moment", dir)
	}
	return n.Endpoint, true, nil
}
