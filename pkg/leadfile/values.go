package leadfile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
)

// toJSON returns the cells of a row as the JSON of a create, or nil if all are
// empty. A cell that is not of the kind of its field becomes a string, so that
// the check of the create finds it.
func (l *Layout) toJSON(cells []cell) []byte {
	object := []byte{'{'}
	for i, c := range cells[:min(len(cells), len(l.Columns))] {
		field := l.fields[i]
		text := l.clean(c.text)
		emptyText := text == "" && c.quoted && l.EmptyText && field != nil && (field.Kind == lead.Text || field.Kind == lead.Email)
		if field == nil || text == "" && !emptyText {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object, _ = jsontext.AppendQuote(object, field.Name)
		object = append(object, ':')
		value, known := "", false
		switch typed := l.hasTypes(); {
		case c.isJSON && (typed || field.Kind == lead.Decimal || text[0] == '['): // no field is a list
			value, known = text, true
		case typed:
		case field.Kind == lead.Boolean:
			value, known = parseBoolean(text)
		case field.Kind == lead.Decimal:
			var err error
			value, err = l.parseNumber(text)
			known = err == nil
		}
		if known {
			object = append(object, value...)
		} else {
			object, _ = jsontext.AppendQuote(object, text)
		}
	}
	if len(object) == 1 {
		return nil
	}
	return append(object, '}')
}

// hasTypes reports whether the values have the types of the API and are not
// converted.
func (l *Layout) hasTypes() bool { return l.Format != CSV && l.FieldNames }

// clean returns a cell without white space around it, "" if the settings call it
// empty, and without what exporters put before formulas and phone numbers.
func (l *Layout) clean(text string) string {
	if l.hasTypes() {
		return text
	}
	trimmed := trimSpace(text)
	for _, empty := range l.Settings.Empty {
		if strings.EqualFold(trimmed, empty) {
			return ""
		}
	}
	if !l.Settings.KeepSpaces {
		text = trimmed
	}
	if strings.HasPrefix(text, "'") && isFormula(text) {
		text = text[1:]
	}
	// Meta lead ads writes this before phone numbers.
	if number, ok := strings.CutPrefix(text, "p:+"); ok {
		text = "+" + number
	}
	return text
}

// isFormula reports whether a spreadsheet might run a cell with this text as a
// formula. Quotes in front of it do not count.
func isFormula(text string) bool {
	text = strings.TrimLeft(text, "'")
	return text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0]))
}

func parseBoolean(text string) (value string, ok bool) {
	switch strings.ToLower(text) {
	case "true", "yes", "1", "x":
		return "true", true
	case "false", "no", "0":
		return "false", true
	}
	return "", false
}

// Errors of a number.
var (
	errNoNumber     = errors.New("is not a number: write digits, such as 1250000.50")
	errAmbiguous    = errors.New("can be read in two ways: say whether the decimal sign is point or comma (-decimal comma)")
	errDecimalComma = errors.New("is a number with a decimal comma: say so (-decimal comma)")
)

// pointNumber is a number with a decimal point. Commas or spaces may separate
// thousands; parseNumber makes an underscore of a space.
var pointNumber = regexp.MustCompile(`^([0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?:_[0-9]{3})+)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parsePointNumber returns a number with a decimal point as JSON, or "".
func parsePointNumber(digits string) string {
	m := pointNumber.FindStringSubmatch(digits)
	if m == nil || m[1]+m[2] == "" {
		return ""
	}
	whole := strings.TrimLeft(strings.NewReplacer(",", "", "_", "").Replace(m[1]), "0")
	return cmp.Or(whole, "0") + m[2] + m[3]
}

// parseNumber returns a number as JSON. Apart from plain numbers it accepts a
// currency sign and separators of thousands. Without a setting it rejects a
// number that could mean two different values.
func (l *Layout) parseNumber(text string) (string, error) {
	if number := jsontext.Value(text); l.FieldNames && number.Kind() == '0' && number.IsValid() {
		return text, nil
	}
	isCurrency := func(r rune) bool { return unicode.Is(unicode.Sc, r) || unicode.IsSpace(r) }
	digits, negative := strings.CutPrefix(strings.TrimFunc(text, isCurrency), "-")
	digits = strings.TrimFunc(strings.TrimPrefix(digits, "+"), isCurrency)
	digits = strings.Map(func(r rune) rune { // spaces and apostrophes only separate thousands
		if unicode.IsSpace(r) || r == '\'' || r == '’' {
			return '_'
		}
		return r
	}, digits)
	point := parsePointNumber(digits)
	comma := parsePointNumber(strings.NewReplacer(".", ",", ",", ".").Replace(digits))
	var number string
	switch {
	case l.Settings.Decimal == "point":
		number = point
	case l.Settings.Decimal == "comma":
		number = comma
	case point != "" && comma != "" && point != comma:
		return "", errAmbiguous
	case point == "" && comma != "" && !strings.Contains(digits, "."):
		return "", errDecimalComma
	default:
		number = cmp.Or(point, comma)
	}
	if number == "" {
		return "", errNoNumber
	}
	if negative {
		number = "-" + number
	}
	return number, nil
}

// explain returns the violations of a row in the words of a spreadsheet: with
// the name of the column, the cell, and what to do.
func (l *Layout) explain(found lead.ValidationError, cells []cell) (explained lead.ValidationError) {
	for _, v := range found {
		for i, c := range l.Columns {
			if c.Field != v.Param || i >= len(cells) {
				continue
			}
			text := l.clean(cells[i].text)
			problem := "is not accepted"
			switch f := fieldNamed(v.Param); {
			case cells[i].isJSON && text[0] == '[':
				problem = "is a list: give one value"
			case v.Code == lead.ParameterTooLong && f.Kind == lead.Email:
				problem = fmt.Sprintf("is longer than %d bytes", f.Max)
			case v.Code == lead.ParameterTooLong:
				problem = fmt.Sprintf("is longer than %d characters: shorten it", f.Max)
			case f.Kind == lead.Email:
				problem = "is not an e-mail address"
			case f.Kind == lead.Boolean:
				problem = "is neither yes nor no"
			case f.Kind == lead.Decimal:
				problem = "is too large or has too many digits (38 are possible)"
				if _, err := l.parseNumber(text); err != nil {
					problem = err.Error()
				}
			case f.Kind == lead.Text:
				problem = "contains a control character: type it again"
			}
			if shown := []rune(text); len(shown) > 40 {
				text = string(shown[:39]) + "…"
			}
			v.Message = fmt.Sprintf("Column %q: %q %s, or leave the cell empty.", c.Name, text, problem)
			if !strings.Contains(problem, ":") {
				v.Message = fmt.Sprintf("Column %q: %q %s. Correct the cell or leave it empty.", c.Name, text, problem)
			}
		}
		explained = append(explained, v)
	}
	return explained
}
