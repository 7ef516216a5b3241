package lead

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Code is the kind of a violation, as clients see it.
type Code string

// The kinds of violation.
const (
	ParameterUnknown Code = "parameter_unknown" // there is no such parameter
	ParameterInvalid Code = "parameter_invalid" // the value is not allowed
	ParameterTooLong Code = "parameter_too_long"
)

// MaxViolations is how many violations an error lists for a client.
const MaxViolations = 100

// Violation says what is wrong with a parameter or field and what to do about it.
type Violation struct {
	Param   string `json:"param"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// ValidationError is the error of a request that breaks rules. It lists every
// violation, at least one, in the order of the request.
type ValidationError []Violation

// Error returns the messages. Only that of an unknown parameter does not name the
// parameter, so its name is added.
func (e ValidationError) Error() string {
	var messages []string
	for _, v := range e {
		message := v.Message
		if v.Code == ParameterUnknown {
			message = fmt.Sprintf("%.100q: %s", v.Param, message)
		}
		messages = append(messages, message)
	}
	return strings.Join(messages, " ")
}

// SyntaxError is the error of a body that is not one JSON object. The message
// repeats nothing of the body, because it may be logged.
type SyntaxError struct{ Message string }

func (e *SyntaxError) Error() string { return e.Message }

// validateText returns what is wrong with a text as the value of the field.
func (f *Field) validateText(s string) (invalid ValidationError) {
	add := func(code Code, format string, args ...any) {
		invalid = append(invalid, Violation{f.Name, code, fmt.Sprintf(format, args...)})
	}
	if f.Kind == Email {
		if len(s) > f.Max {
			add(ParameterTooLong, "Send at most %d bytes for %s.", f.Max, f.Name)
		} else if s != "" && !validEmail(s) {
			add(ParameterInvalid, "Send an e-mail address such as name@example.com for %s, or an empty string.", f.Name)
		}
		return invalid
	}
	if utf8.RuneCountInString(s) > f.Max {
		add(ParameterTooLong, "Send at most %d characters for %s.", f.Max, f.Name)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }) {
		add(ParameterInvalid, "Send %s without control characters other than tab, line feed and carriage return.", f.Name)
	}
	return invalid
}
