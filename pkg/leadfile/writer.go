package leadfile

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// Writer writes leads as rows, which a [Reader] can read. NDJSON keeps every
// value; in CSV, null and "" are both an empty cell. Create one with [NewWriter],
// and call Flush at the end.
type Writer struct {
	buf *bufio.Writer
	csv *csv.Writer // nil for NDJSON
	row []byte
}

// NewWriter returns a writer that writes rows to another writer.
func NewWriter(to io.Writer, format Format) *Writer {
	w := &Writer{buf: bufio.NewWriter(to)}
	if format == CSV {
		w.csv = csv.NewWriter(w.buf)
		header := []string{"id", "created_at", "updated_at"}
		for i := range lead.Fields {
			header = append(header, lead.Fields[i].Name)
		}
		w.csv.Write(header) // Flush returns its error
	}
	return w
}

// Write writes a lead.
func (w *Writer) Write(l *lead.Lead) error {
	if w.csv == nil {
		w.row = append(l.AppendJSON(w.row[:0]), '\n')
		_, err := w.buf.Write(w.row)
		return err
	}
	record := []string{string(l.ID), l.CreatedAt.UTC().Format(time.RFC3339), l.UpdatedAt.UTC().Format(time.RFC3339)}
	for _, v := range l.Values {
		cell := ""
		if v != nil {
			cell = fmt.Sprint(v)
		}
		record = append(record, cell)
	}
	return w.csv.Write(record)
}

// Flush writes the rows that are still in the buffer.
func (w *Writer) Flush() error {
	if w.csv != nil {
		w.csv.Flush()
		if err := w.csv.Error(); err != nil {
			return err
		}
	}
	return w.buf.Flush()
}
