// Package lead defines the CRM lead: its fields and their rules, its JSON form,
// and the interface of a store of leads.
//
// All fields are in one table, [Fields]. Parsing, validation, encoding and
// storage use this table, so that a new field is one new line.
//
// The package uses neither AWS nor net/http. It parses JSON with jsontext, because
// encoding/json accepts duplicate names and invalid UTF-8 without an error.
package lead

import "time"

// Lead is a stored lead.
type Lead struct {
	ID ID

	// CreatedAt and UpdatedAt are in UTC. JSON has only their whole seconds.
	// Lists are sorted by CreatedAt, to the nanosecond.
	CreatedAt, UpdatedAt time.Time

	// Version is 1 for a new lead and grows by one with each update.
	Version int64

	Values Values
}

// Values holds the value of every field, in the order of [Fields]. A value is
// a string, a bool or a [Number], or nil for a field that was never set.
type Values [len(Fields)]any

// Defaults returns the values of a lead that was created without any field.
func Defaults() Values {
	var v Values
	for i := range Fields {
		v[i] = Fields[i].Default
	}
	return v
}

// Change is a new value for one field: an index into [Fields], and the value
// or nil to clear it.
type Change struct {
	Field int
	Value any
}

// Apply sets the changed fields. A cleared field gets its default, or nil where
// it has none.
func (v *Values) Apply(changes []Change) {
	for _, c := range changes {
		if v[c.Field] = c.Value; c.Value == nil {
			v[c.Field] = Fields[c.Field].Default
		}
	}
}
