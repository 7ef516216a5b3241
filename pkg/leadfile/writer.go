package leadfile

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// Writer writes leads as rows that a [Reader] reads. NDJSON keeps all; CSV has
// an empty cell for a field that is null and for one that is "". Make one with
// [NewWriter], and end with Flush.
type Writer struct {
	json *bufio.Writer
	csv  *csv.Writer // nil for NDJSON
	row  []byte
}

// NewWriter returns a writer of rows to w.
func NewWriter(w io.Writer, format Format) *Writer {
	x := &Writer{json: bufio.NewWriter(w)}
	if format == CSV {
		x.csv = csv.NewWriter(x.json)
		header := []string{"id", "created_at", "updated_at"}
		for i := range lead.Fields {
			header = append(header, lead.Fields[i].Name)
		}
		x.csv.Write(header) // Flush tells of an error
	}
	return x
}

// Write writes a lead.
func (x *Writer) Write(l *lead.Lead) error {
	if x.csv == nil {
		x.row = append(l.AppendJSON(x.row[:0]), '\n')
		_, err := x.json.Write(x.row)
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
	return x.csv.Write(record)
}

// Flush writes what is still buffered.
func (x *Writer) Flush() error {
	if x.csv != nil {
		x.csv.Flush()
		if err := x.csv.Error(); err != nil {
			return err
		}
	}
	return x.json.Flush()
}
