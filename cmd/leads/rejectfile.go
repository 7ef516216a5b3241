package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/leadfile"
)

// maxReasons is how many reasons a dry run shows.
const maxReasons = 5

// A rejectFile is the file with the rejected rows of an import. It exists only if
// there are any. A dry run has none, and collects the first reasons.
type rejectFile struct {
	name    string // "" in a dry run
	reader  *leadfile.Reader
	file    *os.File
	count   int
	reasons []string // the first ones
}

// newRejectFile removes the file of an earlier import.
func newRejectFile(name string, reader *leadfile.Reader, dryRun bool) (*rejectFile, error) {
	if dryRun {
		return &rejectFile{reader: reader}, nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &rejectFile{name: name, reader: reader}, nil
}

// add writes a row and the error for which it was rejected.
func (r *rejectFile) add(row leadfile.Row) (err error) {
	_, reason := api.Describe(row.Err)
	if r.count++; r.count <= maxReasons {
		r.reasons = append(r.reasons, fmt.Sprintf("  line %d: %s\n", row.Line, reason))
	}
	if r.name == "" {
		return nil
	}
	var text []byte
	if r.file == nil {
		r.file, err = os.OpenFile(r.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		text = r.reader.RejectedHeader()
	}
	_, err = r.file.Write(r.reader.AppendRejected(text, row, reason))
	return err
}

func (r *rejectFile) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
