package leadfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

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

// parseObject returns the members of a JSON object as cells. A member of an object
// inside it has the names of both, such as properties.email. A list is one cell
// with its JSON.
func parseObject(object []byte) (map[string]cell, error) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if d.PeekKind() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	cells := map[string]cell{}
	err := addMembers(d, "", cells)
	if err == nil && d.InputOffset() < int64(len(object)) {
		err = errors.New("there is more after the object")
	}
	if err != nil {
		return nil, fmt.Errorf("it is not valid JSON (%w): correct it", err)
	}
	return cells, nil
}

func addMembers(d *jsontext.Decoder, prefix string, cells map[string]cell) error {
	if _, err := d.ReadToken(); err != nil { // {
		return err
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := prefix + t.String()
		if _, twice := cells[name]; twice {
			return fmt.Errorf("there are two members %s", name)
		}
		switch kind := d.PeekKind(); kind {
		case '{':
			err = addMembers(d, name+".", cells)
		case '[':
			var list jsontext.Value
			list, err = d.ReadValue()
			cells[name] = cell{text: string(list), isJSON: true}
		default:
			if t, err = d.ReadToken(); err == nil && kind != 'n' {
				cells[name] = cell{text: t.String(), quoted: kind == '"', isJSON: kind != '"'}
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := d.ReadToken() // }
	return err
}

// readObject returns the cells of an object in the order of the columns.
func (l *Layout) readObject(object []byte) ([]cell, error) {
	members, err := parseObject(object)
	if err != nil {
		return nil, err
	}
	cells := make([]cell, len(l.Columns))
	for name, c := range members {
		i, ok := l.indexes[name]
		if ok {
			cells[i] = c
		} else if !l.Settings.SkipUnknown && name != ReasonColumn && c.text != "" {
			return nil, fmt.Errorf("it has the member %q, which no object at the beginning of the file has: map it to a field, or leave it out", name)
		}
	}
	return cells, nil
}

// readMembers finds the columns of a JSON file: the members of the objects in its
// sample and those in the settings. A file with the names of the API gets no
// columns: its objects are not converted.
func (r *Reader) readMembers(sample []byte, s Settings) error {
	values := map[string][]string{}
	for at := 0; at < len(sample); {
		n := r.rowLength(sample[at:])
		if n == 0 {
			n = len(sample) - at
		}
		members, _ := parseObject(bytes.Trim(sample[at:at+n], " \t\r\n[],"))
		for name, c := range members {
			values[name] = addSample(values[name], c.text)
		}
		at += n
	}
	l := r.pos.Layout
	l.FieldNames = s.hasFieldNames(slices.Collect(maps.Keys(values)))
	if _, rejected := values[ReasonColumn]; l.FieldNames && !rejected && len(s.Map) == 0 && s.ID == "" {
		return nil
	}
	l.EmptyText = l.hasTypes()
	for name := range s.Map {
		if _, known := values[name]; !known {
			values[name] = nil
		}
	}
	names := slices.Sorted(maps.Keys(values))
	var samples [][]string
	for _, name := range names {
		samples = append(samples, values[name])
	}
	return l.setColumns(names, samples)
}
