package api

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"overplane.dev/leads/pkg/lead"
)

const (
	defaultLimit = 20
	maxLimit     = 100
)

// listParameters are the query parameters of a list. Each has those that it
// cannot be combined with; where both are sent, it is the one that is refused.
var listParameters = map[string][]string{
	"limit":           nil,
	"offset":          {"starting_after", "ending_before"},
	"status":          nil,
	"lead_owner":      {"status"},
	"email_id":        {"status", "lead_owner"},
	"created_at[gte]": nil,
	"created_at[gt]":  {"created_at[gte]"},
	"created_at[lt]":  nil,
	"created_at[lte]": {"created_at[lt]"},
	"starting_after":  nil,
	"ending_before":   {"starting_after"},
}

// listQuery parses the query of a list. The error is a [lead.ValidationError] with
// every violation, in the order of the query.
func (r *request) listQuery() (lead.ListQuery, error) {
	parameters := r.query()
	given := func(name string) bool {
		return slices.ContainsFunc(parameters, func(p parameter) bool { return p.name == name })
	}
	q := lead.ListQuery{Limit: defaultLimit}
	seen := map[string]bool{}
	var invalid lead.ValidationError
	for _, p := range parameters {
		excluding, known := listParameters[p.name]
		other := slices.IndexFunc(excluding, given)
		v := lead.Violation{Param: p.name, Code: lead.ParameterInvalid}
		switch {
		case !known:
			v = unknownParameters([]parameter{p})[0]
		case seen[p.name]:
			v.Message = fmt.Sprintf("Send %s once.", p.name)
		case other >= 0:
			v.Message = fmt.Sprintf("Send either %s or %s, not both.", excluding[other], p.name)
		default:
			v.Code, v.Message = setListParameter(&q, p.name, p.value)
		}
		if seen[p.name] = true; v.Message != "" {
			invalid = append(invalid, v)
		}
	}
	if len(invalid) > 0 {
		return q, invalid
	}
	return q, nil
}

// setListParameter sets a parameter of a list. It returns what is wrong with the
// value, or "" where nothing is.
func setListParameter(q *lead.ListQuery, name, value string) (code lead.Code, message string) {
	code = lead.ParameterInvalid
	switch name {
	case "limit":
		n, ok := parseDecimal(value)
		if !ok || n < 1 || n > maxLimit {
			return code, fmt.Sprintf("Send limit as a whole number from 1 to %d, in plain digits.", maxLimit)
		}
		q.Limit = int(n)
	case "offset":
		n, ok := parseDecimal(value)
		if !ok {
			return code, "Send offset as a whole number from 0 to 9223372036854775807, in plain digits."
		}
		q.Offset = n
	case "starting_after", "ending_before":
		id, ok := lead.ParseID(value)
		if !ok {
			return code, fmt.Sprintf("Send the id of a lead for %s.", name)
		}
		if name == "starting_after" {
			q.StartingAfter = id
		} else {
			q.EndingBefore = id
		}
	case "created_at[gte]", "created_at[gt]", "created_at[lt]", "created_at[lte]":
		var t time.Time
		if t.UnmarshalText([]byte(value)) != nil {
			return code, fmt.Sprintf("Send a time with zone such as 2024-01-15T09:30:00Z for %s (RFC 3339). In a query, write %%2B for a plus sign.", name)
		}
		setTimeBound(q, name, t.UTC())
	default:
		field := lead.FieldNamed(name)
		f := &lead.Fields[field]
		if f.Kind == lead.Email {
			if _, ok := lead.FilterKey(field, value); !ok || len(value) > f.Max {
				return code, fmt.Sprintf("Send an e-mail address such as name@example.com for %s.", name)
			}
		} else if utf8.RuneCountInString(value) > f.Max {
			return lead.ParameterTooLong, fmt.Sprintf("Send at most %d characters for %s.", f.Max, name)
		}
		q.Filter = &lead.Filter{Field: field, Value: value}
	}
	return "", ""
}

// setTimeBound sets From or To for a comparison with created_at. Times are compared
// in the whole seconds that the API shows: both bounds are the first second from
// t on, or after t.
func setTimeBound(q *lead.ListQuery, name string, t time.Time) {
	from := t.Truncate(time.Second)
	after := from.Add(time.Second)
	if from.Before(t) {
		from = after
	}
	switch name {
	case "created_at[gte]":
		q.From = from
	case "created_at[gt]":
		q.From = after
	case "created_at[lt]":
		q.To = from
	case "created_at[lte]":
		q.To = after
	}
	if name == "created_at[lt]" && q.To.IsZero() { // the zero time is no bound
		q.To = after
	}
}
