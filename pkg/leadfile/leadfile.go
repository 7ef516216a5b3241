// Package leadfile reads and writes files of leads. It reads a file as a stream,
// one row at a time, so a file can have any size.
//
// [NewReader] recognises how a file is written from its first 64 KB: as CSV with
// any usual separator, NDJSON or JSON; in UTF-8 or UTF-16; with LF, CRLF or CR;
// with text before the header. It recognises the columns by the names of fields and
// by the names that exporters use. For example
//
//	E-mail Address;Company;Email Opt Out
//	ada@example.com;Northwind;no
//
// has one row, {"email_id":"ada@example.com","company_name":"Northwind",
// "unsubscribed":false}. The columns of a JSON file are the members of its objects.
// Where a column is not recognised, the caller must decide: see [Undecided].
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
	"slices"
	"strings"
	"unicode"
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
	NDJSON Format = iota + 1 // one JSON object in each line
	CSV                      // RFC 4180, with any separator
	JSON                     // a JSON array of objects, or objects one after the other
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
	ID          string            `json:"-"`                      // the column for Row.ID
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
	ID      string        // the cell in the column Settings.ID

	// Err is why the row can never become a lead, or nil. It is a
	// [lead.ValidationError] or a [*lead.SyntaxError].
	Err error

	cells []cell // in the order of the columns
}

// Position is a place between two rows. Reading can continue there.
type Position struct {
	Offset int64   `json:"offset"`           // bytes before it, counted in UTF-8
	Lines  int     `json:"lines"`            // line ends before it
	Broken bool    `json:"broken,omitempty"` // the quotes of a row before it do not match, and no complete row followed
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
	Settings   Settings `json:"settings"`
	Format     Format   `json:"format"`
	Encoding   string   `json:"encoding"`
	Separator  string   `json:"separator,omitempty"`   // of the cells, one byte
	LineEnd    string   `json:"line_end,omitempty"`    // last byte of the end of a row
	Header     []string `json:"header,omitempty"`      // the names of the columns in a CSV file
	Columns    []Column `json:"columns,omitempty"`     // none for a JSON file that has the names and types of the API
	FieldNames bool     `json:"field_names,omitempty"` // all columns are named like fields
	EmptyText  bool     `json:"empty_text,omitempty"`  // "" is an empty text and not an empty cell

	fields  []*lead.Field  // of the columns; nil for a column that is left out
	indexes map[string]int // of the columns, by name
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
	l.indexes = map[string]int{}
	for i, c := range l.Columns {
		l.fields = append(l.fields, fieldNamed(c.Field))
		l.indexes[c.Name] = i
	}
	return r, nil
}

// Columns returns the columns of the file, or nil for a JSON file that has the names
// and types of the API. Columns without a name are empty.
func (r *Reader) Columns() []Column { return r.pos.Layout.Columns }

// Skipped returns how many lines before the header were skipped, 0 if they were
// empty.
func (r *Reader) Skipped() int { return r.skipped }

// Position returns the place after the last row that was read.
func (r *Reader) Position() Position { return r.pos }

// Errors of a row.
var (
	errTooLong = fmt.Errorf("it is longer than %d bytes, or a quote in it is never closed: shorten it, or double the quotes inside its cells", MaxRow)
	errNotUTF8 = errors.New("it contains a character that is not in the encoding of the file: save the file as UTF-8, or give its encoding")
	errQuotes  = errors.New("its quotes do not match: put a cell that contains quotes in quotes, and double the quotes inside it")
	errRest    = errors.New("it has fewer cells than the header and may be the rest of a row above, whose quotes do not match: correct that row, or fill in this one")
	errHeader  = errors.New("it repeats the header: leave it out")
	errNothing = errors.New("all its cells are in columns that are left out: leave the row out, or map a column")
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
// makes only this line invalid and not the rest of the file. The lines after it
// may belong to the same row: they are rejected until one has a cell for each
// column.
func (r *Reader) readRow() (Row, error) {
	text, err := r.peekRow()
	if err != nil {
		return Row{}, err
	}
	l := r.pos.Layout
	row := Row{Line: r.pos.Lines + 1, Text: bytes.Clone(r.trimLineEnd(text))}
	if l.Format == JSON {
		object := bytes.TrimLeft(row.Text, " \t\r\n[],")
		row.Line += bytes.Count(row.Text[:len(row.Text)-len(object)], []byte{'\n'})
		row.Text = bytes.TrimRight(object, " \t\r\n],")
	}
	err = l.parseRow(&row)
	if r.pos.Broken && err == nil && row.cells != nil {
		if r.pos.Broken = len(row.cells) < len(l.Columns); r.pos.Broken {
			err = errRest
		}
	}
	if err != nil {
		row.Err = &lead.SyntaxError{Message: "This row is not valid: " + err.Error() + "."}
	}
	if err != errQuotes && err != errTooLong {
		r.skip(len(text))
		return row, nil
	}
	r.pos.Broken = l.Format == CSV
	if end := bytes.IndexByte(text, l.LineEnd[0]); end >= 0 {
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
// quotes precedes it; a doubled quote counts as two. In a JSON file, a row is an
// object with everything before it.
func (r *Reader) rowLength(text []byte) int {
	l := r.pos.Layout
	if l.Format == JSON {
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

// parseRow parses the text of a row. An empty row gets neither JSON nor an error.
// The error returned is one of the text; an error of the values is in the row.
func (l *Layout) parseRow(row *Row) (err error) {
	switch {
	case len(bytes.Trim(row.Text, " \t\r")) == 0:
		return nil
	case len(row.Text) > MaxRow:
		return errTooLong
	case l.Format == CSV:
		// Quotes are checked before UTF-8, because they tell where the row ends.
		if row.cells, err = splitCells(string(row.Text), l.Separator[0]); err != nil {
			return err
		}
	}
	if !utf8.Valid(row.Text) || l.Encoding != "utf-8" && bytes.ContainsRune(row.Text, utf8.RuneError) {
		return errNotUTF8
	}
	if row.JSON = row.Text; l.Columns != nil {
		if err := l.convert(row); err != nil || row.JSON == nil {
			return err
		}
	}
	row.Changes, row.Err = lead.ParseChanges(row.JSON)
	if found := (lead.ValidationError)(nil); l.Columns != nil && !l.hasTypes() && errors.As(row.Err, &found) {
		row.Err = l.explain(found, row.cells)
	}
	return nil
}

// convert makes the JSON of the cells of a row.
func (l *Layout) convert(row *Row) (err error) {
	if l.Format == CSV {
		err = l.checkExtra(row.cells)
	} else {
		row.cells, err = l.readObject(row.Text)
	}
	if err != nil {
		row.JSON = nil
		return err
	}
	isName := func(c cell, name string) bool { return trimSpace(c.text) == name }
	if l.Format == CSV && slices.EqualFunc(row.cells, l.Header, isName) {
		row.JSON = nil
		return errHeader
	}
	if i, ok := l.indexes[l.Settings.ID]; ok && i < len(row.cells) {
		row.ID = trimSpace(row.cells[i].text)
	}
	if row.JSON = l.toJSON(row.cells); row.JSON == nil && slices.ContainsFunc(row.cells, func(c cell) bool { return l.clean(c.text) != "" }) {
		return errNothing
	}
	return nil
}

// trimSpace removes white space and byte order marks around a text. Files that were
// joined have marks in their middle.
func trimSpace(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// checkExtra returns an error if a cell is in no column with a name.
func (l *Layout) checkExtra(cells []cell) error {
	for i, c := range cells {
		if i < len(l.Columns) && (l.Columns[i].Name != "" || l.Settings.SkipUnknown) || trimSpace(c.text) == "" {
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
