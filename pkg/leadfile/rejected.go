package leadfile

import (
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
		header += "sep=" + l.Separator + "\n"
	}
	var names []cell
	for _, name := range l.Header {
		names = append(names, cell{text: name})
	}
	return append([]byte(header), l.formatRow(names, ReasonColumn)...)
}

// AppendRejected appends a rejected row to dst: in CSV its cells and the reason, for
// JSON the object with the reason as one more member. What cannot be split into
// cells is all in the first one.
func (r *Reader) AppendRejected(dst []byte, row Row, reason string) []byte {
	l := r.pos.Layout
	if l.Format != CSV {
		object := map[string]any{}
		var members map[string]json.RawMessage
		if json.Unmarshal(row.Text, &members) != nil {
			object["row"] = string(row.Text)
		}
		for name, value := range members {
			object[name] = value
		}
		object[ReasonColumn] = reason
		line, _ := json.Marshal(object) // cannot fail
		return append(append(dst, line...), '\n')
	}
	cells := row.cells
	if cells == nil {
		cells = []cell{{text: string(row.Text)}}
	}
	return append(dst, l.formatRow(cells, reason)...)
}

// formatRow returns a row of CSV with the cells of the columns, the reason, and then
// the cells after the last column. It leaves out a reason that the file has already.
func (l *Layout) formatRow(cells []cell, reason string) (row []byte) {
	n := len(l.Columns)
	for i := range n {
		if l.Header[i] == ReasonColumn {
			continue
		}
		if i < len(cells) {
			row = l.appendCell(row, cells[i])
		}
		row = append(row, l.Separator...)
	}
	row = l.appendCell(row, cell{text: reason})
	for _, c := range cells[min(n, len(cells)):] {
		row = l.appendCell(append(row, l.Separator...), c)
	}
	return append(row, '\n')
}

func (l *Layout) appendCell(row []byte, c cell) []byte {
	if c.text == "" && !c.quoted {
		return row
	}
	return appendQuoted(row, strings.ToValidUTF8(c.text, "\ufffd"), l.Separator)
}
