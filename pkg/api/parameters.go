package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

const (
	defaultLimit = 20
	maxLimit     = 100
)

// changes reads a body of one of these types, and refuses any query. What is
// wrong with the headers is told with the rest.
func (c *call) changes(headers lead.ValidationError, types ...string) ([]lead.Change, error) {
	invalid := append(unknownParameters(c.query()), headers...)
	if c.bodyErr != nil {
		return nil, c.bodyErr
	}
	if len(strings.Trim(string(c.body), " \t\r\n")) > 0 && !hasType(c.r.Header, types) {
		return nil, errContentType
	}
	changes, err := lead.ParseChanges(c.body)
	var more lead.ValidationError
	if err != nil && !errors.As(err, &more) {
		return nil, err
	}
	if invalid = append(invalid, more...); len(invalid) > 0 {
		return nil, invalid
	}
	return changes, nil
}

// hasType reports whether the body is declared to be of one of these media
// types, with any parameters, or of none at all.
func hasType(h http.Header, types []string) bool {
	declared := h.Values("Content-Type")
	if len(declared) == 0 {
		return true
	}
	media, _, _ := strings.Cut(declared[0], ";")
	return len(declared) == 1 && slices.ContainsFunc(types, func(t string) bool {
		return strings.EqualFold(t, strings.TrimSpace(media))
	})
}

// leadID returns the id in the path, and refuses any query. What has not the
// form of an id names no lead.
func (c *call) leadID() (lead.ID, error) {
	if invalid := unknownParameters(c.query()); len(invalid) > 0 {
		return "", invalid
	}
	id, ok := lead.ParseID(c.id)
	if !ok {
		return "", lead.ErrNotFound
	}
	return id, nil
}

// window returns the part of a list that is wanted.
func (c *call) window() (limit int, offset int64, err error) {
	wanted := map[string]int64{"limit": defaultLimit, "offset": 0}
	given := map[string]bool{}
	var invalid lead.ValidationError
	refuse := func(name, format string, args ...any) {
		invalid = append(invalid, lead.Violation{Param: name, Code: lead.ParameterInvalid, Message: fmt.Sprintf(format, args...)})
	}
	for _, p := range c.query() {
		n, ok := decimal(p.value)
		switch {
		case p.name != "limit" && p.name != "offset":
			invalid = append(invalid, unknownParameters([]parameter{p})...)
		case given[p.name]:
			refuse(p.name, "Send %s once.", p.name)
		case p.name == "limit" && (!ok || n < 1 || n > maxLimit):
			refuse(p.name, "Send limit as a whole number from 1 to %d, in plain digits.", maxLimit)
		case !ok:
			refuse(p.name, "Send offset as a whole number from 0 to 9223372036854775807, in plain digits.")
		}
		wanted[p.name], given[p.name] = n, true
	}
	if len(invalid) > 0 {
		return 0, 0, invalid
	}
	return int(wanted["limit"]), wanted["offset"], nil
}

// decimal reads a number that is written in digits alone, without a superfluous
// zero, and below 2^63.
func decimal(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parameter is one of a query. A value whose escapes are broken stays as it is.
type parameter struct{ name, value string }

// query returns the parameters in the order in which they were sent.
func (c *call) query() (parameters []parameter) {
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		parameters = append(parameters, parameter{unescapeQuery(name), unescapeQuery(value)})
	}
	return parameters
}

func unknownParameters(query []parameter) (invalid lead.ValidationError) {
	for _, p := range query {
		invalid = append(invalid, lead.Violation{
			Param: p.name, Code: lead.ParameterUnknown,
			Message: "This request takes no query parameter of this name; leave it out.",
		})
	}
	return invalid
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

func unescapeQuery(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// once reads the header Idempotency-Key.
func (c *call) once() (lead.IdempotencyKey, lead.ValidationError) {
	const name = "Idempotency-Key"
	keys := c.r.Header.Values(name)
	if len(keys) == 0 {
		return lead.IdempotencyKey{}, nil
	}
	if len(keys) > 1 || !lead.ValidIdempotencyKey(keys[0]) {
		return lead.IdempotencyKey{}, lead.ValidationError{{
			Param: name, Code: lead.ParameterInvalid,
			Message: fmt.Sprintf("Send one Idempotency-Key of 1 to %d printable ASCII characters.", lead.MaxIdempotencyKey),
		}}
	}
	source := "http"
	if _, ok := trusted(c.r.Context()); ok {
		source = "direct"
	}
	return lead.IdempotencyKey{Source: source, Key: keys[0], TTL: keepKeys}, nil
}
