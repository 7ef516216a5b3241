package localdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The files in a data directory.
const (
	dataFile = "leads.db"    // the SQLite database; SQLite adds files beside it
	lockFile = "engine.json" // an engineInfo; the running engine holds a lock on it
)

// engineInfo is the content of lockFile. It is valid while the file is locked. The
// lock also prevents a second engine over the same data.
type engineInfo struct {
	Endpoint string `json:"endpoint"`
	PID      int    `json:"pid"` // of the engine
}

// lockDir creates the data directory and its files if needed, for the owner only,
// and returns lockFile, locked. An engine that inherits the file keeps the lock
// until it ends.
func lockDir(dir string) (*os.File, error) {
	file, err := createFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be used, give another: %w", err)
	}
	err = tryLock(file, true)
	for i := 0; i < 10 && err == syscall.EWOULDBLOCK; i++ { // Running holds the lock for a moment
		time.Sleep(20 * time.Millisecond)
		err = tryLock(file, true)
	}
	if err == nil {
		return file, nil
	}
	file.Close()
	if err == syscall.EWOULDBLOCK {
		return nil, fmt.Errorf("another process uses the data in %s: end it (leads serve) or give another data directory", dir)
	}
	return nil, fmt.Errorf("the data directory %s cannot be locked, give one on a local disk: %w", dir, err)
}

// createFiles creates the data directory and its files, and returns lockFile.
func createFiles(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// SQLite would create this file readable for everyone. It gives the files that
	// it adds later the mode of this one.
	data, err := os.OpenFile(filepath.Join(dir, dataFile), os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	data.Close()
	return os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
}

func writeInfo(file *os.File, info engineInfo) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	return json.NewEncoder(file).Encode(info)
}

// Running returns the endpoint of the engine that runs over the data in dir. ok
// is false if none does. The error is not nil while the engine is starting, or
// if engine.json cannot be read.
func Running(dir string) (endpoint string, ok bool, err error) {
	file, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	err = tryLock(file, false)
	if err != syscall.EWOULDBLOCK {
		return "", false, err
	}
	var info engineInfo
	if err := json.NewDecoder(file).Decode(&info); err != nil {
		return "", false, fmt.Errorf("the engine over %s is starting, try again in a moment", dir)
	}
	return info.Endpoint, true, nil
}
