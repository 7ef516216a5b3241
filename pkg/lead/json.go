package lead

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how many levels a body may have, its own braces included.
const maxDepth = 32

// Reasons to refuse a body, besides the errors of jsontext.
var (
	errDepth     = fmt.Errorf("it nests deeper than %d levels", maxDepth)
	errNoObject  = errors.New("it is not an object")
	errTrailing  = errors.New("something follows the object")
	errTruncated = errors.New("it ends too early")
)

// ParseChanges parses the body of a create or an update: one JSON object whose
// members are fields. An empty body, or one of white space only, counts as {}.
// Members that only the server sets (id, created_at, updated_at) are ignored. The
// error is a [*SyntaxError], or a [ValidationError] with every violation found. After
// [MaxViolations] it skips unknown names, because suggesting another takes time.
func ParseChanges(body []byte) ([]Change, error) {
	changes, invalid, err := parseChanges(body)
	switch {
	case err != nil:
		return nil, err
	case len(invalid) > 0:
		return nil, invalid
	}
	return changes, nil
}

func parseChanges(body []byte) (changes []Change, invalid ValidationError, err error) {
	err = parseObject(body, func(d *jsontext.Decoder, name string) error {
		i := FieldNamed(name)
		if i < 0 {
			if len(invalid) < MaxViolations && !slices.Contains(readOnly, name) {
				invalid = append(invalid, unknownField(name))
			}
			return skipValue(d)
		}
		value, violations, err := readValue(d, &Fields[i])
		changes = append(changes, Change{i, value})
		invalid = append(invalid, violations...)
		return err
	})
	return changes, invalid, err
}

// ParseUpsert parses the body of an upsert like [ParseChanges]. It must have an
// e-mail address, which is not the documentation placeholder.
func ParseUpsert(body []byte) ([]Change, error) {
	changes, invalid, err := parseChanges(body)
	if err != nil {
		return nil, err
	}
	isMatch := func(v Violation) bool { return v.Param == MatchName }
	if _, err := MatchKey(changes); err != nil && !slices.ContainsFunc(invalid, isMatch) {
		invalid = append(invalid, err...)
	}
	if len(invalid) > 0 {
		return nil, invalid
	}
	return changes, nil
}

// Member is a member of a JSON object. Inside of the value, names may occur twice
// and strings may be invalid Unicode.
type Member struct {
	Name  string
	Value jsontext.Value
}

// ParseMembers returns the members of a body of one JSON object, in their order. An
// empty body, or one of white space only, counts as {}. The error is a
// [*SyntaxError].
func ParseMembers(body []byte) (members []Member, err error) {
	names := map[string]bool{}
	err = parseObject(body, func(d *jsontext.Decoder, name string) error {
		if names[name] {
			return jsontext.ErrDuplicateName
		}
		names[name] = true
		value, err := d.ReadValue()
		members = append(members, Member{name, value.Clone()})
		return err
	}, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return members, err
}

// parseObject parses a body of one JSON object. It calls readMember for each
// member, after its name. The error is a [*SyntaxError].
func parseObject(body []byte, readMember func(d *jsontext.Decoder, name string) error, options ...jsontext.Options) error {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body), options...)
	if t, err := d.ReadToken(); err != nil {
		return syntaxError(err)
	} else if t.Kind() != '{' {
		return syntaxError(errNoObject)
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return syntaxError(err)
		}
		if err := readMember(d, t.String()); err != nil {
			return syntaxError(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return syntaxError(errTrailing)
	}
	return nil
}

// readValue reads the value of a field, and says what is wrong with it. err is
// for text that is not valid JSON.
func readValue(d *jsontext.Decoder, f *Field) (value any, invalid ValidationError, err error) {
	kind := d.PeekKind()
	if kind == '{' || kind == '[' {
		return nil, ValidationError{wrongType(f)}, skipValue(d)
	}
	t, err := d.ReadToken()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case kind == 'n':
		return nil, nil, nil
	case kind == '"' && (f.Kind == Text || f.Kind == Email):
		s := t.String()
		return s, f.validateText(s), nil
	case (kind == 't' || kind == 'f') && f.Kind == Boolean:
		return t.Bool(), nil, nil
	case kind == '0' && f.Kind == Decimal:
		n, ok := ParseNumber(t.String())
		if !ok {
			invalid = ValidationError{{f.Name, ParameterInvalid, fmt.Sprintf(
				"Send a number for %s that has at most 38 significant digits and is 0 or of a magnitude from 1e-130 up to, but not including, 1e126.", f.Name)}}
		}
		return n, invalid, nil
	}
	return nil, ValidationError{wrongType(f)}, nil
}

// skipValue checks the syntax and the depth of a value and skips it.
func skipValue(d *jsontext.Decoder) error {
	depth := d.StackDepth()
	for {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		switch now := d.StackDepth(); {
		case now > maxDepth:
			return errDepth
		case now <= depth:
			return nil
		}
	}
}

func wrongType(f *Field) Violation {
	wanted := "a JSON string"
	switch f.Kind {
	case Boolean:
		wanted = "true or false"
	case Decimal:
		wanted = "a JSON number"
	}
	return Violation{f.Name, ParameterInvalid, fmt.Sprintf("Send %s for %s, or null.", wanted, f.Name)}
}

func unknownField(name string) Violation {
	message := "No field has this name; leave it out."
	if suggestion := suggestName(name); suggestion != "" {
		message = fmt.Sprintf("No field has this name; did you mean %s?", suggestion)
	}
	return Violation{name, ParameterUnknown, message}
}

func syntaxError(err error) *SyntaxError {
	reason, at := "it is not well formed", ""
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		at = fmt.Sprintf(" near byte %d", syntax.ByteOffset)
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		reason = "a name occurs twice in one object"
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = errTruncated.Error()
	case err == errDepth, err == errNoObject, err == errTrailing:
		reason = err.Error()
	}
	return &SyntaxError{fmt.Sprintf(
		"The body is not valid: %s%s. Send one JSON object (RFC 8259) in UTF-8.", reason, at)}
}

// AppendJSON appends the lead to dst as a JSON object with all members, in the
// order of the reference.
func (l *Lead) AppendJSON(dst []byte) []byte {
	dst = slices.Grow(dst, 1<<10) // most are shorter
	dst = append(dst, `{"id":"`...)
	dst = append(dst, l.ID...)
	dst = append(dst, `","created_at":"`...)
	dst = l.CreatedAt.UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","updated_at":"`...)
	dst = l.UpdatedAt.UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, '"')
	for i := range Fields {
		dst = AppendField(append(dst, ','), i, l.Values[i])
	}
	return append(dst, '}')
}

// AppendField appends a field to dst as the member of a JSON object: its name and
// this value.
func AppendField(dst []byte, field int, value any) []byte {
	dst = append(dst, '"')
	dst = append(dst, Fields[field].Name...)
	dst = append(dst, `":`...)
	switch v := value.(type) {
	case string:
		// It is valid UTF-8: ParseChanges accepts nothing else.
		dst, _ = jsontext.AppendQuote(dst, v)
	case bool:
		dst = strconv.AppendBool(dst, v)
	case Number:
		dst = append(dst, v...)
	default:
		dst = append(dst, "null"...)
	}
	return dst
}
