package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
)

const (
	// maxOperations is how many operations a batch may have. Their results, each
	// with the largest lead or error, fit into the 6 MB of a Lambda answer.
	maxOperations = 100

	// An error of a batch repeats at most maxParam characters of a name that the
	// client sent. The names of all fields are shorter.
	maxParam = 64
)

// parseBatch parses the body of a batch. An error of the envelope is the error of
// the whole batch. An operation with an error in its lead, or in the text of its id
// or key, has this error as its result.
func (r *request) parseBatch() ([]*operation, error) {
	invalid := unknownParameters(r.query())
	if err := r.checkBody("application/json"); err != nil {
		return nil, err
	}
	members, err := lead.ParseMembers(r.body)
	if err != nil {
		return nil, err
	}
	var elements []jsontext.Value
	for _, m := range members {
		if m.Name != "operations" {
			invalid = append(invalid, unknownMember(m.Name, "A batch takes operations only."))
		} else if m.Value.Kind() == '[' {
			if err := json.Unmarshal(m.Value, &elements); err != nil {
				return nil, err // cannot happen: the syntax is valid
			}
		}
	}
	if len(elements) < 1 || len(elements) > maxOperations {
		invalid = append(invalid, lead.Violation{
			Param: "operations", Code: lead.ParameterInvalid,
			Message: fmt.Sprintf("Send a list of 1 to %d operations.", maxOperations),
		})
		elements = nil
	}
	var operations []*operation
	for i, element := range elements {
		op, more, err := r.parseOperation(fmt.Sprintf("operations[%d]", i), element)
		if err != nil {
			return nil, err
		}
		invalid = append(invalid, more...)
		operations = append(operations, op)
	}
	if len(invalid) > 0 {
		return nil, shortenParams(invalid)
	}
	return operations, nil
}

// membersOf are the members that an operation takes besides method, by method.
// Those of the second list may be left out.
var membersOf = map[string][2][]string{
	"create": {{}, {"lead", "idempotency_key"}},
	"update": {{"id", "lead"}, {"if_match"}},
	"delete": {{"id"}, {"if_match"}},
	"upsert": {{"match", "lead"}, {"if_match"}},
}

// parseOperation parses the element of a batch with this name. It returns what is
// wrong with its members.
func (r *request) parseOperation(element string, value jsontext.Value) (_ *operation, invalid lead.ValidationError, err error) {
	refuse := func(param, format string, args ...any) {
		invalid = append(invalid, lead.Violation{Param: param, Code: lead.ParameterInvalid, Message: fmt.Sprintf(format, args...)})
	}
	if value.Kind() != '{' {
		refuse(element, "Send a JSON object for each operation.")
		return nil, invalid, nil
	}
	all, err := lead.ParseMembers(value)
	if err != nil {
		return nil, nil, err
	}
	members := map[string]jsontext.Value{}
	for _, m := range all {
		members[m.Name] = m.Value
	}
	op := &operation{method: textOf(members["method"])}
	names, known := membersOf[op.method]
	if !known {
		refuse(element+".method", "Send create, update, delete or upsert for method.")
		return nil, invalid, nil
	}
	takes := slices.Concat([]string{"method"}, names[0], names[1])
	for _, m := range all {
		param, kind := element+"."+m.Name, m.Value.Kind()
		switch {
		case !slices.Contains(takes, m.Name):
			invalid = append(invalid, unknownMember(param, "This method takes "+strings.Join(takes, ", ")+"."))
		case m.Name == "lead" && kind != '{':
			refuse(param, "Send a JSON object for lead.")
		case m.Name == "if_match" && kind != '"' && kind != '0':
			refuse(param, "Send an entity tag, which is a string, or the number of a version for if_match.")
		case m.Name == "match" && textOf(m.Value) != lead.MatchName:
			refuse(param, "Send %s for match.", lead.MatchName)
		case m.Name != "lead" && m.Name != "if_match" && kind != '"':
			refuse(param, "Send a string for %s.", m.Name)
		}
	}
	for _, name := range names[0] {
		if members[name] == nil {
			refuse(element+"."+name, "Send %s: this method needs it.", name)
		}
	}
	if len(invalid) == 0 {
		op.err = r.setMembers(op, members)
	}
	return op, invalid, nil
}

// setMembers sets the members of the operation, whose types are right. It returns
// what is wrong with them.
func (r *request) setMembers(op *operation, members map[string]jsontext.Value) error {
	var invalid lead.ValidationError
	if members["idempotency_key"] != nil {
		op.key = r.newKey(textOf(members["idempotency_key"]))
		if !lead.ValidIdempotencyKey(op.key.Key) {
			invalid = append(invalid, lead.Violation{
				Param: "idempotency_key", Code: lead.ParameterInvalid,
				Message: fmt.Sprintf("Send an idempotency_key of 1 to %d printable ASCII characters, or none.", lead.MaxIdempotencyKey),
			})
		}
	}
	if tag := members["if_match"]; tag != nil {
		text := textOf(tag)
		if tag.Kind() == '0' {
			text = `"` + string(tag) + `"`
		}
		var more lead.ValidationError
		op.only.Match, more = parseTags([]string{text}, "if_match", false)
		invalid = append(invalid, more...)
	}
	parse := lead.ParseChanges
	if op.method == "upsert" {
		parse = lead.ParseUpsert
	}
	var err error
	if op.changes, err = parse(members["lead"]); err != nil {
		more, ok := err.(lead.ValidationError)
		if !ok {
			return err
		}
		invalid = append(invalid, more...)
	}
	if len(invalid) > 0 {
		return shortenParams(invalid)
	}
	if members["id"] != nil {
		var ok bool
		if op.id, ok = lead.ParseID(textOf(members["id"])); !ok {
			return lead.ErrNotFound
		}
	}
	return nil
}

// textOf returns the text of a JSON string, or "" for another value. Invalid
// Unicode becomes U+FFFD, which no method, id or key has.
func textOf(value jsontext.Value) string {
	if value.Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

func unknownMember(name, takes string) lead.Violation {
	return lead.Violation{Param: name, Code: lead.ParameterUnknown, Message: "There is no such member; leave it out. " + takes}
}

// shortenParams shortens names that are longer than maxParam.
func shortenParams(invalid lead.ValidationError) lead.ValidationError {
	for i := range invalid {
		if name := invalid[i].Param; utf8.RuneCountInString(name) > maxParam {
			invalid[i].Param = string([]rune(name)[:maxParam]) + "…"
		}
	}
	return invalid
}
