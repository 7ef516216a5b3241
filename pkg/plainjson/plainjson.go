// Package plainjson reads and writes the JSON of Lambda's events token by token,
// without reflection: the tables by which reflection would do it are made at
// each cold start, and its code is read from the disk.
//
// What jsontext refuses is refused: names that occur twice, and, unless it is
// told otherwise, half a character. A null is what is not there, and reads as
// the zero value.
package plainjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Whole reads an event, or another text that is one value and nothing after it.
func Whole[T any](text []byte, read func(*jsontext.Decoder) (T, error), options ...jsontext.Options) (T, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text), options...)
	v, err := read(d)
	if err != nil {
		return v, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return v, errors.New("something follows the event")
	}
	return v, nil
}

// Object calls member after the name of each member, to read its value.
func Object(d *jsontext.Decoder, member func(d *jsontext.Decoder, name string) error) error {
	return all(d, '{', func() error {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		return member(d, name.String())
	})
}

// Map reads an object whose members are alike. It is nil for null alone.
func Map[T any](d *jsontext.Decoder, value func(*jsontext.Decoder) (T, error)) (m map[string]T, err error) {
	if d.PeekKind() != 'n' {
		m = map[string]T{}
	}
	err = Object(d, func(d *jsontext.Decoder, name string) error {
		v, err := value(d)
		m[name] = v
		return err
	})
	return m, err
}

// List reads an array whose elements are alike. It is nil for null alone.
func List[T any](d *jsontext.Decoder, element func(*jsontext.Decoder) (T, error)) (list []T, err error) {
	if d.PeekKind() != 'n' {
		list = []T{}
	}
	err = all(d, '[', func() error {
		v, err := element(d)
		list = append(list, v)
		return err
	})
	return list, err
}

// all calls each before each element of an object or an array, as begin says.
func all(d *jsontext.Decoder, begin jsontext.Kind, each func() error) error {
	t, err := token(d, begin)
	if err != nil || t.Kind() == 'n' {
		return err
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		if err := each(); err != nil {
			return err
		}
	}
	_, err = d.ReadToken()
	return err
}

// Value reads any value as it is written.
func Value(d *jsontext.Decoder) (jsontext.Value, error) {
	v, err := d.ReadValue()
	return v.Clone(), err
}

// Values reads an object's members as they are written.
func Values(d *jsontext.Decoder) (map[string]jsontext.Value, error) { return Map(d, Value) }

// String reads a string.
func String(d *jsontext.Decoder) (string, error) {
	t, err := token(d, '"')
	if err != nil || t.Kind() == 'n' {
		return "", err
	}
	return t.String(), nil
}

// Strings reads an array of strings.
func Strings(d *jsontext.Decoder) ([]string, error) { return List(d, String) }

// Bool reads true or false.
func Bool(d *jsontext.Decoder) (bool, error) {
	if d.PeekKind() == 't' {
		_, err := d.ReadToken()
		return true, err
	}
	_, err := token(d, 'f')
	return false, err
}

// Int reads an integer. 1.0 and 1e3 are none.
func Int[T int | int64](d *jsontext.Decoder) (T, error) {
	t, err := token(d, '0')
	if err != nil || t.Kind() == 'n' {
		return 0, err
	}
	n, err := t.Int()
	return T(n), err
}

// Float reads a number.
func Float(d *jsontext.Decoder) (float64, error) {
	t, err := token(d, '0')
	if err != nil || t.Kind() == 'n' {
		return 0, err
	}
	return t.Float()
}

// token reads a token of this kind, or null.
func token(d *jsontext.Decoder, kind jsontext.Kind) (jsontext.Token, error) {
	t, err := d.ReadToken()
	if err == nil && t.Kind() != kind && t.Kind() != 'n' {
		err = fmt.Errorf("at %s is a JSON %v, want a %v", d.StackPointer(), t.Kind(), kind)
	}
	return t, err
}

// AppendStrings appends an array of strings.
func AppendStrings(dst []byte, all []string) []byte {
	dst = append(dst, '[')
	for i, s := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

// AppendString appends a string. What is no UTF-8 in it becomes U+FFFD.
func AppendString[Text []byte | string](dst []byte, text Text) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}
