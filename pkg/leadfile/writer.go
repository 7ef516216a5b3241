package leadfile

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// Writer writes leads as rows, which a [Reader] can read. Create one with
// [NewWriter], and call Flush at the end.
//
// Both formats keep every value. In CSV an empty cell is null, and two quotes are
// an empty text.
type Writer struct {
	buf     *bufio.Writer
	format  Format
	columns []string
	raw     bool
	row     []byte
}

// ColumnNames returns the names of the columns that a file of leads can have.
func ColumnNames() []string {
	names := []string{"id", "created_at", "updated_at"}
	for i := range lead.Fields {
		names = append(names, lead.Fields[i].Name)
	}
	return names
}

// NewWriter returns a writer of rows with these columns, or with all if columns
// is empty. In CSV it puts a quote before a cell that a spreadsheet would run as a
// formula, unless raw is set; a [Reader] removes that quote.
func NewWriter(to io.Writer, format Format, columns []string, raw bool) *Writer {
	if len(columns) == 0 {
		columns = ColumnNames()
	}
	w := &Writer{buf: bufio.NewWriter(to), format: format, columns: columns, raw: raw}
	if format == CSV {
		w.buf.WriteString(strings.Join(columns, ",") + "\n") // Flush returns its error
	}
	return w
}

// Write writes a lead.
func (w *Writer) Write(l *lead.Lead) error {
	w.row = w.row[:0]
	for i, name := range w.columns {
		if i > 0 {
			w.row = append(w.row, ',')
		}
		field := slices.IndexFunc(lead.Fields[:], func(f lead.Field) bool { return f.Name == name })
		switch {
		case w.format == CSV && field >= 0:
			w.appendCell(l.Values[field])
		case w.format == CSV:
			w.row = append(w.row, readOnlyValue(l, name)...)
		case field >= 0:
			w.row = lead.AppendField(w.row, field, l.Values[field])
		default:
			w.row = fmt.Appendf(w.row, "%q:%q", name, readOnlyValue(l, name))
		}
	}
	if w.format != CSV {
		w.row = append(slices.Insert(w.row, 0, '{'), '}')
	}
	_, err := w.buf.Write(append(w.row, '\n'))
	return err
}

func readOnlyValue(l *lead.Lead, name string) string {
	switch name {
	case "created_at":
		return l.CreatedAt.UTC().Format(time.RFC3339)
	case "updated_at":
		return l.UpdatedAt.UTC().Format(time.RFC3339)
	}
	return string(l.ID)
}

func (w *Writer) appendCell(value any) {
	text, isText := value.(string)
	if isText && isFormula(text) && !w.raw {
		text = "'" + text
	}
	switch {
	case value == nil:
	case !isText:
		w.row = fmt.Append(w.row, value)
	default:
		w.row = appendQuoted(w.row, text, ",")
	}
}

// Flush writes the rows that are still in the buffer.
func (w *Writer) Flush() error { return w.buf.Flush() }
