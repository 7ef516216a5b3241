package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/leadfile"
)

// A rejectFile is the NDJSON file with the rejected rows of an import. It exists
// only if there are any.
type rejectFile struct {
	name  string
	file  *os.File
	count int
}

// newRejectFile removes the file of an earlier import.
func newRejectFile(name string) (*rejectFile, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &rejectFile{name: name}, nil
}

// add writes a row and the error for which it was rejected.
func (r *rejectFile) add(row leadfile.Row, reason error) (err error) {
	r.count++
	if r.file == nil {
		r.file, err = os.OpenFile(r.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
	}
	code, message := api.Describe(reason)
	return json.NewEncoder(r.file).Encode(struct {
		Line   int    `json:"line"`
		Code   string `json:"code"`
		Reason string `json:"reason"`
		Row    string `json:"row"`
	}{row.Line, code, message, string(row.Text)})
}

func (r *rejectFile) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
