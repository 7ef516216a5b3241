package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
)

// clone returns a copy of a lead of the API that shares no memory with it.
func (l *Lead) clone() *Lead {
	var copied Lead
	text, err := json.Marshal(l)
	if err == nil {
		err = json.Unmarshal(text, &copied)
	}
	if err != nil {
		panic(err) // not possible: the lead was decoded from JSON
	}
	return &copied
}

// diffLeads returns the fields that must be sent to change one lead into the
// other. The value null clears a field.
func diffLeads(from, to *Lead) (map[string]json.RawMessage, error) {
	patch, err := to.fields()
	if err != nil {
		return nil, fmt.Errorf("the lead has no JSON form: %w", err)
	}
	old, err := from.fields()
	if err != nil {
		return nil, err
	}
	for name, value := range old {
		switch changed, ok := patch[name]; {
		case !ok:
			patch[name] = json.RawMessage("null")
		case equalJSON(value, changed):
			delete(patch, name)
		}
	}
	return patch, nil
}

// fields returns the fields of a lead that are not nil, as JSON.
func (l *Lead) fields() (fields map[string]json.RawMessage, err error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for _, readOnly := range []string{"id", "created_at", "updated_at"} {
		delete(fields, readOnly)
	}
	return fields, nil
}

// equalJSON compares two texts or two numbers, which may be written differently.
func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, isNumber := new(big.Rat).SetString(string(a))
	y, areNumbers := new(big.Rat).SetString(string(b))
	return isNumber && areNumbers && x.Cmp(y) == 0
}
