package api

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// keyTTL is how long an Idempotency-Key is remembered. The API promises 24 hours.
// The rest is for clocks: DynamoDB accepts requests of a process whose clock is up
// to 15 minutes ahead.
const keyTTL = 25 * time.Hour

// leadID returns the id in the path, and refuses any query. Violations found in
// the headers are returned together with those of the query. A malformed id is
// treated as not found.
func (r *request) leadID(headers lead.ValidationError) (lead.ID, error) {
	if invalid := append(unknownParameters(r.query()), headers...); len(invalid) > 0 {
		return "", invalid
	}
	id, ok := lead.ParseID(r.id)
	if !ok {
		return "", lead.ErrNotFound
	}
	return id, nil
}

// parseDecimal parses a number below 2^63 that consists of digits only, without
// leading zeros.
func parseDecimal(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parameter is a parameter of a query, without escapes. Text whose escapes are
// invalid stays as it is.
type parameter struct{ name, value string }

// query returns the parameters in the order in which they were sent. (A
// url.Values would lose the order.)
func (r *request) query() (parameters []parameter) {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		parameters = append(parameters, parameter{unescape(name, url.QueryUnescape), unescape(value, url.QueryUnescape)})
	}
	return parameters
}

// checkMatch returns what is wrong with the query of an upsert, which must be
// match=email_id.
func (r *request) checkMatch() (invalid lead.ValidationError) {
	var others []parameter
	matches := 0
	refuse := func(format string, args ...any) {
		invalid = append(invalid, lead.Violation{Param: "match", Code: lead.ParameterInvalid, Message: fmt.Sprintf(format, args...)})
	}
	for _, p := range r.query() {
		switch {
		case p.name != "match":
			others = append(others, p)
			continue
		case matches > 0:
			refuse("Send match once.")
		case p.value != lead.MatchName:
			refuse("Send %s for match: an upsert can find a lead by no other field.", lead.MatchName)
		}
		matches++
	}
	if matches == 0 {
		refuse("Send match=%s in the query.", lead.MatchName)
	}
	return append(invalid, unknownParameters(others)...)
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

// unescape returns undo(s), or s where its escapes are invalid.
func unescape(s string, undo func(string) (string, error)) string {
	if plain, err := undo(s); err == nil {
		return plain
	}
	return s
}

// idempotencyKey parses the header Idempotency-Key.
func (r *request) idempotencyKey() (lead.IdempotencyKey, lead.ValidationError) {
	const name = "Idempotency-Key"
	keys := r.Header.Values(name)
	if len(keys) == 0 {
		return lead.IdempotencyKey{}, nil
	}
	if len(keys) > 1 || !lead.ValidIdempotencyKey(keys[0]) {
		return lead.IdempotencyKey{}, lead.ValidationError{{
			Param: name, Code: lead.ParameterInvalid,
			Message: fmt.Sprintf("Send one Idempotency-Key of 1 to %d printable ASCII characters.", lead.MaxIdempotencyKey),
		}}
	}
	return r.newKey(keys[0]), nil
}

// newKey returns the idempotency key with this text.
func (r *request) newKey(text string) lead.IdempotencyKey {
	source := "http"
	if _, ok := trustedTenant(r.Context()); ok {
		source = "direct"
	}
	return lead.IdempotencyKey{Source: source, Key: text, TTL: keyTTL}
}
