// Package leadfile reads and writes files of leads. It reads a file as a stream,
// one row at a time, so a file can have any size.
//
// [NewReader] recognises how a file is written from its first 64 KB: as CSV with
// any usual separator, NDJSON or a JSON array; in UTF-8 or UTF-16; with LF, CRLF
// or CR; with text before the header. It recognises the columns of a CSV file by
// the names of fields and by the names that exporters use. For example
//
//	E-mail Address;Company;Email Opt Out
//	ada@example.com;Northwind;no
//
// has one row, {"email_id":"ada@example.com","company_name":"Northwind",
// "unsubscribed":false}. Where a column is not recognised, the caller must decide:
// see [Undecided].
//
// Each row becomes the JSON of a create. An invalid row is an error of this row
// only, and the rows after it are read.
package leadfile

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"overplane.dev/leads/pkg/lead"
)

// MaxRow is the maximum size of a row in bytes. The body of a create has the same
// limit.
const MaxRow = 128 << 10

// A Format is a file format.
type Format int

// The formats.
const (
	NDJSON    Format = iota + 1 // one JSON object in each line
	CSV                         // RFC 4180, with any separator
	JSONArray                   // one JSON array of objects
)

// FormatOf returns the format of a file to write, or an error if its name does
// not end in .csv, .ndjson or .jsonl.
func FormatOf(name string) (Format, error) {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".csv"):
		return CSV, nil
	case strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"):
		return NDJSON, nil
	}
	return 0, errors.New("give the file a name that ends in .csv, .ndjson or .jsonl, because the name tells the format")
}

// Settings say how to read a file. The zero Settings suit most files.
type Settings struct {
	Map         map[string]string `json:"map,omitempty"`          // the field of a column, if there is that column; "" leaves it out
	SkipUnknown bool              `json:"skip_unknown,omitempty"` // leave out columns that are not recognised
	Encoding    string            `json:"encoding,omitempty"`     // such as windows-1252; "" is UTF-8 or UTF-16
	Decimal     string            `json:"decimal,omitempty"`      // "point" or "comma"; "" rejects ambiguous numbers
	Empty       []string          `json:"empty,omitempty"`        // cells that mean an empty cell, in any case
	KeepSpaces  bool              `json:"keep_spaces,omitempty"`  // keep white space around cells
	ID          string            `json:"id,omitempty"`           // the column for Row.ID
}

// FileError is the error of a file that cannot be read at all, or of settings
// that do not suit it. Its message says what to do.
type FileError struct{ Message string }

func (e *FileError) Error() string { return e.Message }

func fileError(format string, args ...any) *FileError {
	return &FileError{fmt.Sprintf(format, args...)}
}

// Row is one row of a file.
type Row struct {
	Line    int           // line number of its beginning; the first line is 1
	JSON    []byte        // the body of a create; nil if the row cannot be split into cells
	Changes []lead.Change // the fields in JSON
	Text    []byte        // the row in the file without its line end; only the beginning if it is too long
	Cells   []string      // the cells in the file; nil if Text cannot be split, or is JSON
	ID      string        // the cell in the column Settings.ID

	// Err is why the row can never become a lead, or nil. It is a
	// [lead.ValidationError] or a [*lead.SyntaxError].
	Err error
}

// Position is a place between two rows. Reading can continue there.
type Position struct {
	Offset int64   `json:"offset"`           // bytes before it, counted in UTF-8
	Lines  int     `json:"lines"`            // line ends before it
	Layout *Layout `json:"layout,omitempty"` // nil only at the beginning of a file
}

// Start returns the offset in the file where the content for [NewReader] must
// begin. It is 0 for a file that is not in UTF-8.
func (p Position) Start() int64 {
	if p.Layout != nil && p.Layout.Encoding == "utf-8" {
		return p.Offset
	}
	return 0
}

// Layout is how a file is written and what its columns become.
type Layout struct {
	Format      Format   `json:"format"`
	Encoding    string   `json:"encoding"`
	Separator   string   `json:"separator,omitempty"` // of the cells, one byte
	LineEnd     string   `json:"line_end,omitempty"`  // last byte of the end of a row
	Header      string   `json:"header,omitempty"`    // as it is in the file
	Columns     []Column `json:"columns,omitempty"`
	FieldNames  bool     `json:"field_names,omitempty"` // the columns are named like fields
	EmptyText   bool     `json:"empty_text,omitempty"`  // "" is an empty text and not an empty cell
	Decimal     string   `json:"decimal,omitempty"`
	Empty       []string `json:"empty,omitempty"`
	KeepSpaces  bool     `json:"keep_spaces,omitempty"`
	SkipUnknown bool     `json:"skip_unknown,omitempty"`
	ID          string   `json:"id,omitempty"`

	fields []*lead.Field // of the columns; nil for a column that is left out
}

// Reader reads rows. Create one with [NewReader].
type Reader struct {
	buf     *bufio.Reader
	pos     Position
	skipped int
}

// bufferSize is several times the longest row, so that data in the buffer is
// seldom moved.
const bufferSize = 4 * MaxRow

const byteOrderMark = "\ufeff"

func newBuffer(content io.Reader) *bufio.Reader { return bufio.NewReaderSize(content, bufferSize) }

// NewReader returns a reader of the rows of a file from a position on. The zero
// Position is the beginning of the file: there, NewReader recognises the layout,
// with the help of the name and the settings. At another position it uses the
// layout of the position. The content must begin at from.Start().
//
// It returns a [*FileError] if the content is no file of leads.
func NewReader(content io.Reader, name string, s Settings, from Position) (*Reader, error) {
	r := &Reader{buf: newBuffer(content), pos: from}
	if from.Layout == nil {
		if err := r.detectLayout(name, s); err != nil {
			return nil, err
		}
	} else {
		r.decode()
		if _, err := io.CopyN(io.Discard, r.buf, from.Offset-from.Start()); err != nil {
			return nil, err
		}
	}
	l := r.pos.Layout
	l.Separator, l.LineEnd = cmp.Or(l.Separator, ","), cmp.Or(l.LineEnd, "\n")
	for _, c := range l.Columns {
		l.fields = append(l.fields, fieldNamed(c.Field))
	}
	return r, nil
}

// Columns returns the columns of a CSV file, or nil. Those without a name are
// empty.
func (r *Reader) Columns() []Column { return r.pos.Layout.Columns }

// Skipped returns how many lines before the header were skipped, 0 if they were
// empty.
func (r *Reader) Skipped() int { return r.skipped }

// Position returns the place after the last row that was read.
func (r *Reader) Position() Position { return r.pos }

// Errors of a row.
var (
	errTooLong = fmt.Errorf("it is longer than %d bytes, or a quote in it is never closed: shorten it, or double the quotes inside its cells", MaxRow)
	errNotUTF8 = errors.New("it contains a character that is not in the encoding of the file: save the file as UTF-8")
	errQuotes  = errors.New("its quotes do not match: put a cell that contains quotes in quotes, and double the quotes inside it")
)

// Read returns the next row, or io.EOF after the last row. Other errors are those
// of the content's reader.
func (r *Reader) Read() (Row, error) {
	for {
		row, err := r.readRow()
		if err != nil || row.Err != nil || row.JSON != nil {
			return row, err
		}
	}
}

// readRow reads the next row. An empty row has neither JSON nor an error.
//
// If the quotes do not match, it reads only one line, so that an unclosed quote
// costs this line and not the rest of the file.
func (r *Reader) readRow() (Row, error) {
	text, err := r.peekRow()
	if err != nil {
		return Row{}, err
	}
	row := Row{Line: r.pos.Lines + 1, Text: bytes.Clone(r.trimLineEnd(text))}
	if r.pos.Layout.Format == JSONArray {
		object := bytes.TrimLeft(row.Text, " \t\r\n[],")
		row.Line += bytes.Count(row.Text[:len(row.Text)-len(object)], []byte{'\n'})
		row.Text = bytes.TrimRight(object, " \t\r\n],")
	}
	err = r.parseRow(&row)
	if err != nil {
		row.Err = &lead.SyntaxError{Message: "This row is not valid: " + err.Error() + "."}
	}
	if err != errQuotes && err != errTooLong {
		r.skip(len(text))
		return row, nil
	}
	if end := bytes.IndexByte(text, r.pos.Layout.LineEnd[0]); end >= 0 {
		row.Text = row.Text[:min(end, len(row.Text))]
		r.skip(end + 1)
		return row, nil
	}
	r.skip(len(text))
	if err == errTooLong {
		return row, r.skipLine()
	}
	return row, nil
}

func (r *Reader) trimLineEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte(cmp.Or(r.pos.Layout.LineEnd, "\n"))), []byte{'\r'})
}

// peek returns the next n bytes, or all if there are fewer.
func (r *Reader) peek(n int) ([]byte, error) {
	text, err := r.buf.Peek(n)
	if err == io.EOF {
		err = nil
	}
	return text, err
}

// peekRow returns the next row with its line end, or the first MaxRow bytes and
// two more of a row that is too long. It returns io.EOF after the last row.
func (r *Reader) peekRow() ([]byte, error) {
	text, _ := r.buf.Peek(r.buf.Buffered())
	if n := r.rowLength(text); n > 0 {
		return text[:n], nil
	}
	text, err := r.buf.Peek(MaxRow + len("\r\n"))
	if err != nil && (err != io.EOF || len(text) == 0) {
		return nil, err
	}
	if n := r.rowLength(text); n > 0 {
		return text[:n], nil
	}
	return text, nil
}

// rowLength returns the length of the first row with its line end, or 0 if the
// text ends before the row does. A line break is inside a cell if an odd number of
// quotes precedes it; a doubled quote counts as two. In a JSON array, a row is an
// object with everything before it.
func (r *Reader) rowLength(text []byte) int {
	l := r.pos.Layout
	if l.Format == JSONArray {
		return objectLength(text)
	}
	quoted := false
	for i, c := range text {
		switch {
		case c == '"' && l.Format == CSV:
			quoted = !quoted
		case c == l.LineEnd[0] && !quoted:
			return i + 1
		}
	}
	return 0
}

// objectLength returns the length of a text up to the end of its first JSON
// object, or of something else that is between commas. It returns 0 if the text
// ends before that does.
func objectLength(text []byte) int {
	depth, quoted, other := 0, false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			other = other || depth == 0
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth <= 0 {
				return i + 1
			}
		case depth == 0 && c == ',' && other:
			return i + 1
		case depth == 0 && !bytes.ContainsRune([]byte(" \t\r\n[],"), rune(c)):
			other = true
		}
	}
	return 0
}

// parseRow parses the text of a row. An empty row gets neither JSON nor an error.
// The error returned is one of the text; an error of the values is in the row.
func (r *Reader) parseRow(row *Row) (err error) {
	l := r.pos.Layout
	var cells []cell
	switch {
	case len(bytes.Trim(row.Text, " \t\r")) == 0:
		return nil
	case len(row.Text) > MaxRow:
		return errTooLong
	case l.Format == CSV:
		// Quotes are checked before UTF-8, because they tell where the row ends.
		if cells, err = splitCells(string(row.Text), l.Separator[0]); err != nil {
			return err
		}
		row.Cells = textsOf(cells)
	}
	if !utf8.Valid(row.Text) || l.Encoding != "utf-8" && bytes.ContainsRune(row.Text, utf8.RuneError) {
		return errNotUTF8
	}
	if err := l.checkExtra(cells); err != nil {
		return err
	}
	if row.JSON = row.Text; l.Format == CSV {
		if row.JSON = l.toJSON(cells); row.JSON == nil {
			return nil
		}
	}
	for i, c := range cells[:min(len(cells), len(l.Columns))] {
		if l.Columns[i].Name == l.ID {
			row.ID = strings.TrimSpace(c.text)
		}
	}
	row.Changes, row.Err = lead.ParseChanges(row.JSON)
	if found := (lead.ValidationError)(nil); l.Format == CSV && errors.As(row.Err, &found) {
		row.Err = l.explain(found, cells)
	}
	return nil
}

// checkExtra returns an error if a cell is in no column with a name.
func (l *Layout) checkExtra(cells []cell) error {
	for i, c := range cells {
		if i < len(l.Columns) && (l.Columns[i].Name != "" || l.SkipUnknown) || strings.TrimSpace(c.text) == "" {
			continue
		}
		if i < len(l.Columns) {
			return fmt.Errorf("its cell %d is in a column without a name: name the column in the header, or empty the cell", i+1)
		}
		return fmt.Errorf("it has %d cells and the header has %d: put a cell that contains a separator or a line break in quotes", len(cells), len(l.Columns))
	}
	return nil
}

// skip discards n bytes, which are in the buffer.
func (r *Reader) skip(n int) {
	text, _ := r.buf.Peek(n)
	r.pos.Offset += int64(n)
	r.pos.Lines += bytes.Count(text, []byte(cmp.Or(r.pos.Layout.LineEnd, "\n")))
	r.buf.Discard(n)
}

// skipLine discards the rest of a line, which may be longer than the buffer.
func (r *Reader) skipLine() error {
	for {
		part, err := r.buf.ReadSlice(r.pos.Layout.LineEnd[0])
		r.pos.Offset += int64(len(part))
		switch err {
		case nil:
			r.pos.Lines++
			return nil
		case io.EOF:
			return nil // the next Read returns it
		case bufio.ErrBufferFull:
		default:
			return err
		}
	}
}
