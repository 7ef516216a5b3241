package leadfile

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
)

// HeaderError is the error of a CSV file with an invalid header. No row of the
// file can be read.
type HeaderError struct{ Message string }

func (e *HeaderError) Error() string { return e.Message }

// column is a column of a CSV file.
type column struct {
	name []byte // as a JSON string
	kind lead.Kind
}

func columnsOf(header []string) (columns []column) {
	for _, name := range header {
		c := column{name: quoteJSON(name), kind: lead.Text}
		for i := range lead.Fields {
			if lead.Fields[i].Name == name {
				c.kind = lead.Fields[i].Kind
			}
		}
		columns = append(columns, c)
	}
	return columns
}

func quoteJSON(s string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, s)
	return quoted
}

// readHeader reads the header. Each name in it must be a member that a create may
// have.
func (r *Reader) readHeader() error {
	fail := func(format string, args ...any) error {
		return &HeaderError{fmt.Sprintf(format, args...)}
	}
	text, err := r.peekRow()
	if err == io.EOF {
		return fail("The file is empty: its first line must name the fields, separated by commas.")
	} else if err != nil {
		return err
	}
	if len(text) > MaxRow || !utf8.Valid(text) {
		return fail("The first line must name the fields, separated by commas, in UTF-8.")
	}
	header, err := splitCells(string(trimLineEnd(text)))
	if err != nil {
		return fail("The first line must name the fields, separated by commas: %v.", err)
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		return fail("The first line must name the fields, separated by commas: save the file with commas, not with semicolons or tabs.")
	}
	var invalid []string
	for i, name := range header {
		if slices.Contains(header[:i], name) {
			invalid = append(invalid, fmt.Sprintf("Name column %q once.", name))
		} else if _, err := lead.ParseChanges(fmt.Appendf(nil, "{%s:null}", quoteJSON(name))); err != nil {
			invalid = append(invalid, fmt.Sprintf("Column %q: %s", name, err))
		}
	}
	if len(invalid) > 0 {
		return fail("The header is not valid. %s", strings.Join(invalid, " "))
	}
	r.skip(len(text))
	r.pos.Header = header
	return nil
}

// toJSON returns a record as a JSON object, or nil if all cells are empty. A cell
// that is not of the kind of its column becomes a string, so that the check of
// the create reports it with the name of the field.
func toJSON(columns []column, record []string) ([]byte, error) {
	if len(record) != len(columns) {
		return nil, fmt.Errorf("the row has %d cells and the header has %d: put a cell that contains a comma or a line break in quotes", len(record), len(columns))
	}
	object := []byte{'{'}
	for i, cell := range record {
		if cell == "" {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = append(append(object, columns[i].name...), ':')
		switch number := jsontext.Value(cell); {
		case columns[i].kind == lead.Boolean && (strings.EqualFold(cell, "true") || strings.EqualFold(cell, "false")):
			object = append(object, strings.ToLower(cell)...) // spreadsheets write TRUE
		case columns[i].kind == lead.Decimal && number.Kind() == '0' && number.IsValid():
			object = append(object, cell...)
		default:
			object, _ = jsontext.AppendQuote(object, cell)
		}
	}
	if len(object) == 1 {
		return nil, nil
	}
	return append(object, '}'), nil
}

// splitCells returns the cells of a row (RFC 4180, section 2), byte for byte. The
// reader of encoding/csv is no alternative, because it turns a CRLF inside a cell
// into LF.
func splitCells(text string) (record []string, err error) {
	for {
		var cell string
		if rest, quoted := strings.CutPrefix(text, `"`); quoted {
			if cell, text, err = cutQuotedCell(rest); err != nil {
				return nil, err
			}
		} else {
			end := strings.IndexByte(text, ',')
			if end < 0 {
				end = len(text)
			}
			if cell, text = text[:end], text[end:]; strings.Contains(cell, `"`) {
				return nil, errQuotes
			}
		}
		record = append(record, cell)
		if text == "" {
			return record, nil
		}
		if text[0] != ',' {
			return nil, errQuotes
		}
		text = text[1:]
	}
}

// cutQuotedCell returns the cell at the beginning of a text that follows an
// opening quote, and the text after its closing quote.
func cutQuotedCell(text string) (cell, rest string, err error) {
	for {
		part, after, closed := strings.Cut(text, `"`)
		if cell += part; !closed {
			return "", "", errQuotes
		}
		if text, closed = strings.CutPrefix(after, `"`); !closed {
			return cell, after, nil
		}
		cell += `"`
	}
}
