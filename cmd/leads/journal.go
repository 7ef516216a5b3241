package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bits-and-blooms/bloom/v3"

	"overplane.dev/leads/pkg/lead"
)

// A journal is the list of the leads that an import made, for leads import undo.
// It is a file on this machine with a line for the start and for the end of each
// run, and one for each lead.
//
// If a run is killed, some leads may exist that are not in the file. The next run
// finds them: they were made before, but after the killed run started. A nil
// *journal records nothing.
type journal struct {
	mu      sync.Mutex
	file    *os.File
	started time.Time          // start of the oldest run that did not end, or zero
	known   *bloom.BloomFilter // the leads in the file, if started is not zero
}

const (
	journalStart = "start "
	journalEnd   = "end"
)

// journalName returns the name of the journal of an import. It is in the data
// directory, apart for each database, account and mode.
func journalName(db database, tenant lead.Tenant, name string) string {
	location := db.name
	if db.data != "" {
		location = "local" // its port differs each time
	}
	return filepath.Join(db.journals, "imports", url.PathEscape(location), tenant.Account+"-"+string(tenant.Mode), url.PathEscape(name))
}

// openJournal opens the journal and starts a run.
func openJournal(name string) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	j := &journal{}
	err := readJournal(name, func(line string) error {
		if at, ok := strings.CutPrefix(line, journalStart); ok && j.started.IsZero() {
			j.started, _ = time.Parse(time.RFC3339, at)
		} else if line == journalEnd {
			j.started = time.Time{}
		}
		return nil
	})
	if err == nil && !j.started.IsZero() {
		j.known = newFilter()
		err = readJournal(name, func(line string) error {
			j.known.AddString(line)
			return nil
		})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if j.file, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	// A line that a killed run did not finish ends here.
	_, err = j.file.WriteString("\n" + journalStart + time.Now().UTC().Format(time.RFC3339) + "\n")
	return j, err
}

// readJournal calls a function for each line.
func readJournal(name string, handle func(line string) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if err := handle(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// addMade records leads that this run made.
func (j *journal) addMade(made []lead.Lead) error {
	if j == nil {
		return nil
	}
	var text []byte
	for _, l := range made {
		text = append(append(text, l.ID...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(text); err != nil {
		return fmt.Errorf("the list of the leads for import undo cannot be written: %w", err)
	}
	return nil
}

// addFound records those of the leads of an earlier run that it made but did not
// record.
func (j *journal) addFound(found []lead.Lead) error {
	if j == nil || j.started.IsZero() {
		return nil
	}
	j.mu.Lock()
	missing := slices.DeleteFunc(slices.Clone(found), func(l lead.Lead) bool {
		return l.CreatedAt.Before(j.started) || j.known.TestAndAddString(string(l.ID))
	})
	j.mu.Unlock()
	return j.addMade(missing)
}

// end records the end of a complete run.
func (j *journal) end() error {
	if j == nil {
		return nil
	}
	_, err := j.file.WriteString(journalEnd + "\n")
	return err
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
