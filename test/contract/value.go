package contract

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var pathStep = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_]*)|\.?\[([0-9]+)\])`)

// errPath is a path that no answer could have: a fault of the script.
var errPath = errors.New(`a path looks like .data[0].id, and "." is the whole`)

// lookup returns the value at path inside doc.
func lookup(doc jsontext.Value, path string) (jsontext.Value, error) {
	if path == "." {
		return doc, nil
	}
	for rest := path; rest != ""; {
		step := pathStep.FindStringSubmatch(rest)
		if step == nil {
			return nil, errPath
		}
		rest = rest[len(step[0]):]
		done := strings.TrimSuffix(path, rest)
		var ok bool
		if name := step[1]; name != "" {
			var object map[string]jsontext.Value
			if doc.Kind() != '{' || json.Unmarshal(doc, &object) != nil {
				return nil, fmt.Errorf("there is no %s: %s has no members", done, doc)
			}
			doc, ok = object[name]
		} else {
			array, err := elements(doc)
			if err != nil {
				return nil, fmt.Errorf("there is no %s: %w", done, err)
			}
			if i, err := strconv.Atoi(step[2]); err == nil && i < len(array) {
				doc, ok = array[i], true
			}
		}
		if !ok {
			return nil, fmt.Errorf("there is no %s", done)
		}
	}
	return doc, nil
}

// memberNames lists the names of an object's members in their order.
func memberNames(object jsontext.Value) ([]string, error) {
	if object.Kind() != '{' {
		return nil, fmt.Errorf("%s is not an object", object)
	}
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	var names []string
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		names = append(names, name.String())
		if err := d.SkipValue(); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// elements lists the elements of an array.
func elements(array jsontext.Value) ([]jsontext.Value, error) {
	var list []jsontext.Value
	if array.Kind() != '[' {
		return nil, fmt.Errorf("%s is not an array", short(array))
	}
	err := json.Unmarshal(array, &list)
	return list, err
}

// text is a string's content, or the JSON text of any other value.
func text(v jsontext.Value) string {
	var s string
	if v.Kind() == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// difference says where got is not the value want, or nil. The order of an
// object's members does not count; numbers are compared by value, so that 1e2
// is 100, without ever being rounded; strings byte for byte.
func difference(path string, got, want jsontext.Value) error {
	differ := fmt.Errorf("%s is %s, want %s", path, short(got), short(want))
	if got.Kind() != want.Kind() {
		return differ
	}
	switch want.Kind() {
	case '{':
		return objectDifference(path, got, want)
	case '[':
		return arrayDifference(path, got, want)
	case '0':
		g, ok1 := new(big.Rat).SetString(string(got))
		w, ok2 := new(big.Rat).SetString(string(want))
		if !ok1 || !ok2 || g.Cmp(w) != 0 {
			return differ
		}
	default:
		if text(got) != text(want) {
			return differ
		}
	}
	return nil
}

func objectDifference(path string, got, want jsontext.Value) error {
	var g, w map[string]jsontext.Value
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(want, &w)); err != nil {
		return err
	}
	path = strings.TrimSuffix(path, ".")
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if _, ok := g[name]; !ok {
			return fmt.Errorf("there is no %s.%s, want %s", path, name, short(w[name]))
		}
		if err := difference(path+"."+name, g[name], w[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if _, ok := w[name]; !ok {
			return fmt.Errorf("%s.%s is %s, want no such member", path, name, short(g[name]))
		}
	}
	return nil
}

func arrayDifference(path string, got, want jsontext.Value) error {
	g, err1 := elements(got)
	w, err2 := elements(want)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(g) != len(w) {
		return fmt.Errorf("%s has %d elements, want %d", path, len(g), len(w))
	}
	for i := range w {
		if err := difference(fmt.Sprintf("%s[%d]", path, i), g[i], w[i]); err != nil {
			return err
		}
	}
	return nil
}

// short keeps a long text readable in a report.
func short[T ~[]byte | ~string](s T) string {
	const most = 600
	if len(s) <= most {
		return string(s)
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(string(s[:most]), ""), len(s))
}
