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

// HeaderError is the error of a CSV file whose header is refused: no row of it
// can be read.
type HeaderError struct{ Message string }

func (e *HeaderError) Error() string { return e.Message }

// column is what a cell becomes.
type column struct {
	name []byte // quoted, as JSON has it
	kind lead.Kind
}

func columnsOf(header []string) (columns []column) {
	for _, name := range header {
		c := column{kind: lead.Text}
		c.name, _ = jsontext.AppendQuote(nil, name)
		for i := range lead.Fields {
			if lead.Fields[i].Name == name {
				c.kind = lead.Fields[i].Kind
			}
		}
		columns = append(columns, c)
	}
	return columns
}

// readHeader takes the header off the stream. Every name in it must be one that
// a create may have.
func (x *Reader) readHeader() error {
	refuse := func(format string, args ...any) error {
		return &HeaderError{fmt.Sprintf(format, args...)}
	}
	text, err := x.peekRow()
	if err == io.EOF {
		return refuse("The file is empty: its first line must name the fields, separated by commas.")
	} else if err != nil {
		return err
	}
	if len(text) > MaxRow || !utf8.Valid(text) {
		return refuse("The first line must name the fields, separated by commas, in UTF-8.")
	}
	header, err := cells(string(trimEnd(text)))
	if err != nil {
		return refuse("The first line must name the fields, separated by commas: %v.", err)
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		return refuse("The first line must name the fields, separated by commas: save the file with commas, not with semicolons or tabs.")
	}
	var wrong []string
	for i, name := range header {
		if slices.Contains(header[:i], name) {
			wrong = append(wrong, fmt.Sprintf("Name column %q once.", name))
		} else if message := refusal(name); message != "" {
			wrong = append(wrong, fmt.Sprintf("Column %q: %s", name, message))
		}
	}
	if len(wrong) > 0 {
		return refuse("The header is not valid. %s", strings.Join(wrong, " "))
	}
	x.skip(len(text))
	x.at.Header = header
	return nil
}

// refusal says why no create may have a member of this name, or nothing.
func refusal(name string) string {
	quoted, _ := jsontext.AppendQuote(nil, name)
	_, err := lead.ParseChanges(fmt.Appendf(nil, "{%s:null}", quoted))
	if err != nil {
		return err.Error()
	}
	return ""
}

// object returns a record as a JSON object. A cell that is none of its column's
// kind is kept as text, for the create to refuse it with the field's own words.
func object(columns []column, record []string) ([]byte, error) {
	if len(record) != len(columns) {
		return nil, fmt.Errorf("the row has %d cells and the header has %d: put a cell that holds a comma or a line break in quotes", len(record), len(columns))
	}
	var text []byte
	for i, cell := range record {
		if cell == "" {
			continue
		}
		separator := byte(',')
		if text == nil {
			separator = '{'
		}
		text = append(append(append(text, separator), columns[i].name...), ':')
		switch v := jsontext.Value(cell); {
		case columns[i].kind == lead.Boolean && (strings.EqualFold(cell, "true") || strings.EqualFold(cell, "false")):
			text = append(text, strings.ToLower(cell)...) // spreadsheets write TRUE
		case columns[i].kind == lead.Decimal && v.Kind() == '0' && v.IsValid():
			text = append(text, cell...)
		default:
			text, _ = jsontext.AppendQuote(text, cell)
		}
	}
	if text == nil {
		return nil, nil
	}
	return append(text, '}'), nil
}

// cells returns the cells of a row (RFC 4180, section 2), byte for byte: the
// reader of encoding/csv would turn a CRLF inside a cell into LF.
func cells(text string) (record []string, err error) {
	for {
		var cell string
		if rest, quoted := strings.CutPrefix(text, `"`); quoted {
			if cell, text, err = quotedCell(rest); err != nil {
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

// quotedCell returns the cell that begins text, after its opening quote, and
// what follows its closing one.
func quotedCell(text string) (cell, rest string, err error) {
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
