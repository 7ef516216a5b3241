package ingest

import (
	"errors"
	"fmt"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// record is one lead to be made.
type record struct {
	body   []byte              // the JSON of a create
	once   lead.IdempotencyKey // its name
	id     string              // what its deliveries share, unlike those of any other record
	origin string              // where it comes from, for people
	err    error               // set where it is refused before it is read
}

// errTooLarge is the error of a body that is larger than HTTP takes it.
var errTooLarge = &lead.SyntaxError{Message: fmt.Sprintf("The lead is larger than %d bytes. Send a smaller one.", leadfile.MaxRow)}

// admit makes leads of records and says of each what became of it: it is there,
// or it is refused for good ([refused]), or it failed and may be tried again.
// What is refused is in the queue of dead letters then; where that could not be,
// it failed.
func (d *delivery) admit(records []record) []lead.CreateResult {
	outcomes := make([]lead.CreateResult, len(records))
	var creations []lead.CreateRequest
	var of []int // whose creations they are
	for i, r := range records {
		values, err := r.values()
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		creations, of = append(creations, lead.CreateRequest{Values: values, Key: r.once}), append(of, i)
	}
	for j, o := range d.create(creations) {
		outcomes[of[j]] = o
	}

	var letters []letter
	for i, o := range outcomes {
		if refused(o.Err) {
			letters = append(letters, letter{records[i], o.Err})
		}
	}
	if err := d.bury(letters); err != nil {
		for i := range outcomes {
			if refused(outcomes[i].Err) {
				outcomes[i].Err = err
			}
		}
	}
	for i, o := range outcomes {
		d.count(records[i], o)
	}
	return outcomes
}

// values reads the record. A panic is the record's own.
func (r *record) values() (values lead.Values, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if r.err != nil {
		return values, r.err
	}
	if len(r.body) > leadfile.MaxRow {
		return values, errTooLarge
	}
	changes, err := lead.ParseChanges(r.body)
	if err != nil {
		if why := wrapping(r.body); why != "" {
			err = &lead.SyntaxError{Message: why}
		}
	}
	values = lead.Defaults()
	values.Apply(changes)
	return values, err
}

// create makes leads, many in a transaction. Where that panics each is tried
// alone, so that a panic fails one.
func (d *delivery) create(creations []lead.CreateRequest) (outcomes []lead.CreateResult) {
	if len(creations) == 0 {
		return nil
	}
	defer func() {
		if p := recover(); p == nil {
			return
		} else if len(creations) == 1 {
			outcomes = []lead.CreateResult{{Err: panicked(p)}}
			return
		}
		outcomes = nil
		for i := range creations {
			outcomes = append(outcomes, d.create(creations[i:i+1])...)
		}
	}()
	return d.Leads.CreateMany(d.work, d.Tenant, creations)
}

// refused reports whether an error is the record's own and will never pass.
func refused(err error) bool {
	var invalid lead.ValidationError
	var syntax *lead.SyntaxError
	return errors.As(err, &invalid) || errors.As(err, &syntax) || errors.Is(err, lead.ErrKeyReused)
}

func (d *delivery) count(r record, o lead.CreateResult) {
	switch {
	case o.Err == nil && o.Replayed:
		d.replayed++
	case o.Err == nil:
		d.made++
	case refused(o.Err):
		d.refused++
	default:
		d.fail(r.origin, o.Err)
	}
}

// done returns errFailed if any of the records is to be delivered again.
func done(outcomes []lead.CreateResult) error {
	for _, o := range outcomes {
		if o.Err != nil && !refused(o.Err) {
			return errFailed
		}
	}
	return nil
}
