package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Events are read token by token: the tables by which reflection would do it
// are made at each cold start, and its code is read from the disk. A null is
// what is not there.

// readObject calls member after the name of each member, to read its value.
func readObject(d *jsontext.Decoder, member func(d *jsontext.Decoder, name string) error) error {
	return readAll(d, '{', func() error {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		return member(d, name.String())
	})
}

// readLists reads an object of arrays of strings.
func readLists(d *jsontext.Decoder) (map[string][]string, error) {
	lists := map[string][]string{}
	return lists, readObject(d, func(d *jsontext.Decoder, name string) error {
		return readAll(d, '[', func() error {
			s, err := readString(d)
			lists[name] = append(lists[name], s)
			return err
		})
	})
}

// readAll calls each before each element of an object or an array, as begin
// says.
func readAll(d *jsontext.Decoder, begin jsontext.Kind, each func() error) error {
	t, err := readToken(d, begin)
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

func readString(d *jsontext.Decoder) (string, error) {
	t, err := readToken(d, '"')
	if err != nil || t.Kind() == 'n' {
		return "", err
	}
	return t.String(), nil
}

func readBool(d *jsontext.Decoder) (bool, error) {
	if d.PeekKind() == 't' {
		_, err := d.ReadToken()
		return true, err
	}
	_, err := readToken(d, 'f')
	return false, err
}

// readToken reads a token of this kind, or null.
func readToken(d *jsontext.Decoder, kind jsontext.Kind) (jsontext.Token, error) {
	t, err := d.ReadToken()
	if err == nil && t.Kind() != kind && t.Kind() != 'n' {
		err = fmt.Errorf("at %s is a JSON %v, want a %v", d.StackPointer(), t.Kind(), kind)
	}
	return t, err
}

// readValue reads any value.
func readValue(d *jsontext.Decoder) (jsontext.Value, error) {
	v, err := d.ReadValue()
	return v.Clone(), err
}
