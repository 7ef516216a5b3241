package leadfile

import (
	"bytes"
	"encoding/json"
	"strings"
)

// RejectedExt is the end of the name of a file with rejected rows.
func (r *Reader) RejectedExt() string {
	if r.pos.Layout.Format == CSV {
		return ".rejected.csv"
	}
	return ".rejected.ndjson"
}

// RejectedHeader returns the beginning of a file with the rejected rows of this
// file. A CSV file has the same header and one more column, [ReasonColumn]. It is
// in UTF-8, with a byte order mark for spreadsheets. After the rows are corrected,
// the file can be imported with the same settings.
func (r *Reader) RejectedHeader() []byte {
	l := r.pos.Layout
	if l.Format != CSV {
		return nil
	}
	header := byteOrderMark
	if !strings.Contains(separators, l.Separator) {
		header += "sep=" + l.Separator + l.LineEnd
	}
	return []byte(header + l.Header + l.Separator + ReasonColumn + l.LineEnd)
}

// AppendRejected appends a rejected row to dst: in CSV the row as it was, with the
// reason; for JSON an object with the row and the reason.
func (r *Reader) AppendRejected(dst []byte, row Row, code, reason string) []byte {
	l := r.pos.Layout
	if l.Format != CSV {
		line, _ := json.Marshal(struct { // cannot fail
			Line   int    `json:"line"`
			Code   string `json:"code"`
			Reason string `json:"reason"`
			Row    string `json:"row"`
		}{row.Line, code, reason, string(row.Text)})
		return append(append(dst, line...), '\n')
	}
	text, cells := bytes.ToValidUTF8(row.Text, []byte("\ufffd")), len(row.Cells)
	var extra []byte
	switch n := len(l.Columns); {
	case row.Cells == nil: // all of it in the first cell
		text, cells = l.joinCells([]string{string(text)}), 1
	case cells > n: // the cells after the last column follow the reason
		text, extra, cells = l.joinCells(row.Cells[:n]), append([]byte(l.Separator), l.joinCells(row.Cells[n:])...), n
	}
	dst = append(append(dst, text...), strings.Repeat(l.Separator, len(l.Columns)-cells+1)...)
	dst = append(append(dst, l.joinCells([]string{reason})...), extra...)
	return append(dst, l.LineEnd...)
}

// joinCells returns a part of a row with these cells in quotes.
func (l *Layout) joinCells(cells []string) (row []byte) {
	for i, text := range cells {
		if i > 0 {
			row = append(row, l.Separator...)
		}
		row = append(row, `"`+strings.ToValidUTF8(strings.ReplaceAll(text, `"`, `""`), "\ufffd")+`"`...)
	}
	return row
}
