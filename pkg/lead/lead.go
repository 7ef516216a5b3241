// Package lead is the CRM lead: its fields, what a valid one is, how it looks
// in JSON, and what a store of leads promises.
//
// The fields stand in one table, [Fields]; decoding, validation, encoding and
// storage all walk that table, so that a field is added in one line.
//
// The package knows nothing of HTTP or of AWS. Beside the standard library it
// uses jsontext, the token layer of the coming encoding/json/v2, because the
// old encoding/json accepts duplicate names and invalid UTF-8 in silence.
package lead

import "time"

// Lead is one lead as it stands in a store.
type Lead struct {
	ID ID

	// CreatedAt and UpdatedAt are in UTC. JSON shows them in whole seconds;
	// CreatedAt keeps its nanoseconds inside, and with them the order of the
	// list.
	CreatedAt, UpdatedAt time.Time

	// Version is 1 when the lead is made and grows by one with each update.
	Version int64

	Values Values
}

// Values holds the value of every field, in the order of [Fields]. A value is
// a string, a bool or a [Number], or nil for a field that was never set.
type Values [len(Fields)]any

// Defaults returns the values of a lead for which nothing was sent.
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

// Apply sets the changed fields. A cleared field goes back to its default, or
// to nil where it has none.
func (v *Values) Apply(changes []Change) {
	for _, c := range changes {
		if v[c.Field] = c.Value; c.Value == nil {
			v[c.Field] = Fields[c.Field].Default
		}
	}
}
