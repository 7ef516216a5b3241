// Package leadfile reads and writes files of leads, as NDJSON or CSV. It reads a
// file as a stream, one row at a time, so a file can have any size.
//
// Each row becomes the JSON of a create, which [lead.ParseChanges] checks later.
// An invalid row is an error of this row only, with its line number, and the rows
// after it are read. An invalid CSV header is an error of the file.
//
// An NDJSON file has one JSON object in each line. A CSV file follows RFC 4180:
// the header has field names, commas separate the cells, and a cell in quotes may
// contain commas, doubled quotes and line breaks. An empty cell means that the
// field is not sent, and a row with only empty cells is ignored. For example
//
//	lead_name,disabled,city
//	Ada,TRUE,
//
// has one row, {"lead_name":"Ada","disabled":true}.
//
// Both formats are UTF-8, with or without a byte order mark. Lines end with LF or
// CRLF, and empty lines are ignored.
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

// MaxRow is the maximum size of a row in bytes. The body of a create has the same
// limit.
const MaxRow = 128 << 10

// A Format is a file format.
type Format int

// The formats.
const (
	NDJSON Format = iota + 1
	CSV
)

// FormatOf returns the format of a file with this name, or an error if the name
// does not end in .csv, .ndjson or .jsonl.
func FormatOf(name string) (Format, error) {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".csv"):
		return CSV, nil
	case strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"):
		return NDJSON, nil
	}
	return 0, errors.New("give the file a name that ends in .csv, .ndjson or .jsonl, because the name tells the format")
}

// Row is one row of a file.
type Row struct {
	Line int    // line number of its beginning; the first line is 1
	JSON []byte // the body of a create, not checked yet; nil if Err is set
	Text []byte // the row in the file without its line end; only the beginning if it is too long
	Err  error  // why the row cannot be read
}

// Position is a place between two rows. Reading can continue there.
type Position struct {
	Offset int64    `json:"offset"`           // bytes before it
	Lines  int      `json:"lines"`            // line ends before it
	Header []string `json:"header,omitempty"` // of a CSV file
}

// Reader reads rows. Create one with [NewReader].
type Reader struct {
	buf     *bufio.Reader
	pos     Position
	format  Format
	columns []column // of a CSV file
}

// bufferSize is several times the longest row, so that data in the buffer is
// seldom moved.
const bufferSize = 4 * MaxRow

const byteOrderMark = "\ufeff"

// NewReader returns a reader of the rows of a file. The content must begin at
// the position; the zero Position is the beginning of the file. There, NewReader
// reads the header of a CSV file. It returns a [*HeaderError] for an invalid
// header.
func NewReader(content io.Reader, format Format, from Position) (*Reader, error) {
	r := &Reader{buf: bufio.NewReaderSize(content, bufferSize), pos: from, format: format}
	if from.Offset == 0 {
		if mark, _ := r.buf.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			r.skip(len(mark))
		}
	}
	if format == NDJSON {
		return r, nil
	}
	if len(r.pos.Header) == 0 {
		if err := r.readHeader(); err != nil {
			return nil, err
		}
	}
	r.columns = columnsOf(r.pos.Header)
	return r, nil
}

// Position returns the place after the last row that was read.
func (r *Reader) Position() Position { return r.pos }

// Errors of a row.
var (
	errTooLong = fmt.Errorf("the row is longer than %d bytes, or a quote in it is never closed: shorten it, or double the quotes inside its cells", MaxRow)
	errNotUTF8 = errors.New("the row is not valid UTF-8: save the file as UTF-8")
	errQuotes  = errors.New("the row's quotes do not match: put a cell that contains quotes in quotes, and double the quotes inside it")
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
	row := Row{Line: r.pos.Lines + 1, Text: bytes.Clone(trimLineEnd(text))}
	row.JSON, row.Err = r.parseRow(row.Text)
	if row.Err != errQuotes && row.Err != errTooLong {
		r.skip(len(text))
		return row, nil
	}
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		row.Text = row.Text[:min(end, len(row.Text))]
		r.skip(end + 1)
		return row, nil
	}
	r.skip(len(text))
	if row.Err == errTooLong {
		err = r.skipLine()
	}
	return row, err
}

func trimLineEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
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
// quotes precedes it; a doubled quote counts as two.
func (r *Reader) rowLength(text []byte) int {
	quoted := false
	for i, c := range text {
		switch {
		case c == '"' && r.format == CSV:
			quoted = !quoted
		case c == '\n' && !quoted:
			return i + 1
		}
	}
	return 0
}

// parseRow returns the row as the JSON of a create, or nil if the row is empty.
func (r *Reader) parseRow(text []byte) ([]byte, error) {
	switch {
	case len(bytes.Trim(text, " \t\r")) == 0:
		return nil, nil
	case len(text) > MaxRow:
		return nil, errTooLong
	case r.format == NDJSON && utf8.Valid(text):
		return text, nil
	case r.format == NDJSON:
		return nil, errNotUTF8
	}
	// Quotes are checked before UTF-8, because they tell where the row ends.
	record, err := splitCells(string(text))
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(text):
		return nil, errNotUTF8
	}
	return toJSON(r.columns, record)
}

// skip discards n bytes, which are in the buffer.
func (r *Reader) skip(n int) {
	text, _ := r.buf.Peek(n)
	r.pos.Offset += int64(n)
	r.pos.Lines += bytes.Count(text, []byte{'\n'})
	r.buf.Discard(n)
}

// skipLine discards the rest of a line, which may be longer than the buffer.
func (r *Reader) skipLine() error {
	for {
		part, err := r.buf.ReadSlice('\n')
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
