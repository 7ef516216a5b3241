// Package leadfile reads files of leads, NDJSON and CSV, as a stream: one row after
// the other, never the whole file, however large it is.
//
// A row becomes the JSON of a create, to be judged where all creates are judged
// ([lead.ParseChanges]). What is wrong with one row is said of that row, with
// its line, and holds up no other; what is wrong with a CSV file's header is
// said of the file.
//
// NDJSON has a JSON object in each line. CSV is that of RFC 4180: the header
// has the names of fields, a comma separates, a field in quotes may hold
// commas, quotes (doubled) and line breaks. An empty cell is a field that was
// not sent, and a row of nothing but empty cells is no row. Both are UTF-8,
// with or without a byte order mark, and their lines end with LF or CRLF. Empty
// lines are no rows.
package leadfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxRow is the greatest size of a row in bytes: that of the body of a create.
const MaxRow = 128 << 10

// A Format is how a file holds its rows.
type Format int

// The formats.
const (
	NDJSON Format = iota + 1
	CSV
)

// FormatOf returns the format that the end of a file's name tells.
func FormatOf(name string) (Format, error) {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".csv"):
		return CSV, nil
	case strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"):
		return NDJSON, nil
	}
	return 0, errors.New("give the file a name that ends in .csv, .ndjson or .jsonl, which says how it is to be read")
}

// Row is one row of a file.
type Row struct {
	Line int    // where it begins, counted from 1
	JSON []byte // the body of a create, not yet judged; nil where Err is set
	Text []byte // as it stands in the file, without the line's end; only its beginning where it is too long
	Err  error  // what keeps the row from being read, as a sentence about it
}

// Position is a place between two rows from which a file can be read on.
type Position struct {
	Offset int64    `json:"offset"`           // bytes before it
	Lines  int      `json:"lines"`            // line ends before it
	Header []string `json:"header,omitempty"` // of CSV, once it was read
}

// Reader reads rows. Make one with [NewReader].
type Reader struct {
	r       *bufio.Reader
	at      Position
	format  Format
	columns []column // of CSV
}

// bufferSize is several times that of the longest row, so that seeing a row
// whole seldom moves what is buffered.
const bufferSize = 4 * MaxRow

// NewReader returns a reader of the rows of r from a position, which is where
// r begins; the zero Position is the beginning of the file. Where that is CSV
// it reads the header, and returns a [*HeaderError] for one that is refused.
func NewReader(r io.Reader, format Format, from Position) (*Reader, error) {
	x := &Reader{r: bufio.NewReaderSize(r, bufferSize), at: from, format: format}
	if from.Offset == 0 {
		if mark, _ := x.r.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			x.skip(len(mark))
		}
	}
	if format == NDJSON {
		return x, nil
	}
	if len(x.at.Header) == 0 {
		if err := x.readHeader(); err != nil {
			return nil, err
		}
	}
	x.columns = columnsOf(x.at.Header)
	return x, nil
}

const byteOrderMark = "\ufeff"

// Position returns the place after the last row that was read.
func (x *Reader) Position() Position { return x.at }

// Errors of a row.
var (
	errTooLong = fmt.Errorf("the row is longer than %d bytes, or a quote in it is never closed: shorten it, or double the quotes inside its fields", MaxRow)
	errNotUTF8 = errors.New("the row is not valid UTF-8: save the file as UTF-8")
	errQuotes  = errors.New("the row's quotes do not match: put a field that holds quotes in quotes, and double those inside")
)

// Read returns the next row, or io.EOF after the last. Any other error is that
// of the stream.
func (x *Reader) Read() (Row, error) {
	for {
		row, err := x.next()
		if err != nil || row.Err != nil || row.JSON != nil {
			return row, err
		}
	}
}

// next takes the next row off the stream; one with nothing in it has no JSON.
//
// Where quotes do not match it takes one line alone, so that an unclosed quote
// spoils that line and not the rest of the file.
func (x *Reader) next() (Row, error) {
	text, err := x.peekRow()
	if err != nil {
		return Row{}, err
	}
	row := Row{Line: x.at.Lines + 1, Text: bytes.Clone(trimEnd(text))}
	row.JSON, row.Err = x.parse(row.Text)
	taken := len(text)
	if row.Err == errQuotes || row.Err == errTooLong {
		line := bytes.IndexByte(text, '\n')
		if line >= 0 {
			taken = line + 1
			row.Text = row.Text[:min(line, len(row.Text))]
		}
		x.skip(taken)
		if line < 0 && row.Err == errTooLong {
			err = x.skipLine()
		}
		return row, err
	}
	x.skip(taken)
	return row, nil
}

// trimEnd returns a row without its line's end.
func trimEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
}

// peekRow returns the next row with its line's end, or the beginning of one that
// is too long, and io.EOF where there is none.
func (x *Reader) peekRow() ([]byte, error) {
	seen, _ := x.r.Peek(x.r.Buffered())
	if end := x.rowEnd(seen); end > 0 {
		return seen[:end], nil
	}
	seen, err := x.r.Peek(MaxRow + len("\r\n"))
	if err != nil && (err != io.EOF || len(seen) == 0) {
		return nil, err
	}
	if end := x.rowEnd(seen); end > 0 {
		return seen[:end], nil
	}
	return seen, nil
}

// rowEnd returns the length of the first row, its line's end included, or 0
// where its end is not seen. A quote inside a quoted field is doubled, which
// leaves the count even.
func (x *Reader) rowEnd(seen []byte) int {
	quoted := false
	for i, c := range seen {
		switch {
		case c == '"' && x.format == CSV:
			quoted = !quoted
		case c == '\n' && !quoted:
			return i + 1
		}
	}
	return 0
}

// parse returns a row as the JSON of a create, or nil where it is empty.
func (x *Reader) parse(text []byte) ([]byte, error) {
	switch {
	case len(bytes.Trim(text, " \t\r")) == 0:
		return nil, nil
	case len(text) > MaxRow:
		return nil, errTooLong
	case x.format == NDJSON && utf8.Valid(text):
		return text, nil
	case x.format == NDJSON:
		return nil, errNotUTF8
	}
	// Quotes are judged first: they say where the row ends.
	record, err := cells(string(text))
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(text):
		return nil, errNotUTF8
	}
	return object(x.columns, record)
}

// skip takes n bytes off the stream that were seen already.
func (x *Reader) skip(n int) {
	seen, _ := x.r.Peek(n)
	x.at.Offset += int64(n)
	x.at.Lines += bytes.Count(seen, []byte{'\n'})
	x.r.Discard(n)
}

// skipLine takes the rest of a line off the stream.
func (x *Reader) skipLine() error {
	for {
		part, err := x.r.ReadSlice('\n')
		x.at.Offset += int64(len(part))
		switch err {
		case nil:
			x.at.Lines++
			return nil
		case io.EOF:
			return nil // Read will say so
		case bufio.ErrBufferFull:
		default:
			return err
		}
	}
}
