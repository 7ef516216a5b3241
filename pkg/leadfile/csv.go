package leadfile

import "strings"

// A cell is one cell of a row.
type cell struct {
	text   string
	quoted bool // in quotes
	isJSON bool // the JSON of a number, a boolean or a list
}

// splitCells returns the cells of a row (RFC 4180, section 2), byte for byte. The
// reader of encoding/csv is no alternative: it turns a CRLF inside a cell into
// LF, and does not tell "" from an empty cell.
func splitCells(text string, separator byte) (cells []cell, err error) {
	for {
		var c cell
		// People put spaces around cells in quotes.
		if rest, quoted := strings.CutPrefix(strings.TrimLeft(text, " "), `"`); quoted {
			c.quoted = true
			if c.text, text, err = cutQuotedCell(rest); err != nil {
				return nil, err
			}
			text = strings.TrimLeft(text, " ")
		} else {
			end := strings.IndexByte(text, separator)
			if end < 0 {
				end = len(text)
			}
			if c.text, text = text[:end], text[end:]; strings.Contains(c.text, `"`) {
				return nil, errQuotes
			}
		}
		cells = append(cells, c)
		if text == "" {
			return cells, nil
		}
		if text[0] != separator {
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

// appendQuoted appends a cell to a row. The cell is in quotes where that is needed,
// and if it is empty.
func appendQuoted(row []byte, text, separator string) []byte {
	if text != "" && !strings.ContainsAny(text, "\"\r\n"+separator) && strings.TrimSpace(text) == text {
		return append(row, text...)
	}
	row = append(row, '"')
	row = append(row, strings.ReplaceAll(text, `"`, `""`)...)
	return append(row, '"')
}
