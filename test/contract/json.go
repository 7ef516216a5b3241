package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

var pathStep = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_]*)|\.?\[([0-9]+)\])`)

// lookUp returns the value at a path such as .data[0].id inside doc; "." is doc.
func lookUp(doc jsontext.Value, path string) (jsontext.Value, error) {
	for rest := strings.TrimSuffix(path, "."); rest != ""; {
		step := pathStep.FindStringSubmatch(rest)
		if step == nil {
			return nil, fmt.Errorf("%s is no path such as .data[0].id", path)
		}
		rest = rest[len(step[0]):]
		var object map[string]jsontext.Value
		var array []jsontext.Value
		index, err := strconv.Atoi(step[2])
		switch {
		case err != nil && json.Unmarshal(doc, &object) == nil:
			doc = object[step[1]]
		case err == nil && json.Unmarshal(doc, &array) == nil && index < len(array):
			doc = array[index]
		default:
			doc = nil
		}
		if doc == nil {
			return nil, fmt.Errorf("there is no %s", strings.TrimSuffix(path, rest))
		}
	}
	return doc, nil
}

// memberNames lists the names of an object's members in their order.
func memberNames(object jsontext.Value) ([]string, error) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != '{' {
		return nil, fmt.Errorf("%s is not an object", shorten(object))
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

// textOf returns a string's content, or the JSON text of any other value.
func textOf(v jsontext.Value) string {
	var s string
	if v.Kind() == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// compareJSON reports how got differs from want. Numbers are compared by value,
// without rounding: 1e2 is 100.
func compareJSON(got, want jsontext.Value) error {
	var values [2]any
	for i, v := range []jsontext.Value{want, got} {
		if !v.IsValid() { // strict: no duplicate names, no invalid UTF-8
			return fmt.Errorf("%s is not JSON", shorten(v))
		}
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			return err
		}
	}
	equalNumbers := cmp.Comparer(func(a, b json.Number) bool {
		x, ok1 := new(big.Rat).SetString(string(a))
		y, ok2 := new(big.Rat).SetString(string(b))
		return ok1 && ok2 && x.Cmp(y) == 0
	})
	if diff := cmp.Diff(values[0], values[1], equalNumbers); diff != "" {
		return fmt.Errorf("it is %s, which differs from what is wanted:\n%s", shorten(got), diff)
	}
	return nil
}

// shorten keeps long texts readable in a report.
func shorten[T ~[]byte | ~string](s T) string {
	const limit = 600
	if len(s) <= limit {
		return string(s)
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(string(s[:limit]), ""), len(s))
}
