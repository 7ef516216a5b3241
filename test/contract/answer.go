package contract

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An answer is a response read to its end.
type answer struct {
	method string // of the request
	status int
	header http.Header
	body   jsontext.Value // "" where there is none
}

// requestIDHeader is the header that names a request.
const requestIDHeader = "Request-Id"

// errorTypes is the contract's table of errors: the type of each status.
var errorTypes = map[int]string{
	400: "invalid_request_error",
	401: "authentication_error",
	403: "permission_error",
	404: "invalid_request_error",
	405: "invalid_request_error",
	409: "idempotency_error",
	412: "invalid_request_error",
	413: "invalid_request_error",
	415: "invalid_request_error",
	429: "rate_limit_error",
	500: "api_error",
	503: "api_error",
}

// errorCodes is the other half of the table: the codes of each status.
var errorCodes = map[int][]string{
	400: {"json_invalid", "parameter_unknown", "parameter_invalid", "parameter_too_long"},
	401: {"api_key_invalid"},
	403: {"scope_missing"},
	404: {"resource_missing", "route_unknown"},
	405: {"method_not_allowed"},
	409: {"idempotency_key_reused", "idempotency_key_in_use"},
	412: {"precondition_failed"},
	413: {"body_too_large"},
	415: {"content_type_unsupported"},
	429: {"rate_limited"},
	500: {"internal"},
	503: {"unavailable"},
}

// requiredHeaders are those that a status brings with it.
var requiredHeaders = map[int]string{
	401: "Www-Authenticate",
	405: "Allow",
	429: "Retry-After",
	503: "Retry-After",
}

// judge checks what every answer must hold, whatever was asked.
func (a *answer) judge() error {
	errs := []error{a.judgeHeaders(), a.judgeBody()}
	if a.status >= 400 && a.method != http.MethodHead {
		_, err := a.error()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *answer) judgeHeaders() error {
	var errs []error
	if ids := a.header.Values(requestIDHeader); len(ids) != 1 || ids[0] == "" {
		errs = append(errs, fmt.Errorf("every answer has one %s, this one has %q", requestIDHeader, ids))
	}
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			errs = append(errs, fmt.Errorf("every answer has %s: %s, this one has %q", name, want, got))
		}
	}
	if name, ok := requiredHeaders[a.status]; ok && a.header.Get(name) == "" {
		errs = append(errs, fmt.Errorf("an answer with status %d has %s, this one has none", a.status, name))
	}
	return errors.Join(errs...)
}

func (a *answer) judgeBody() error {
	if a.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		if len(a.body) > 0 {
			return fmt.Errorf("the answer to %s with status %d has a body", a.method, a.status)
		}
		return nil
	}
	if len(a.body) == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || media != "application/json" {
		return fmt.Errorf("a body has the type application/json, this one has %q", a.header.Get("Content-Type"))
	}
	// IsValid is strict: no duplicate names, no invalid UTF-8.
	if !a.body.IsValid() {
		return errors.New("the body is not valid JSON")
	}
	return nil
}

// A violation is one entry of the member `errors`.
type violation struct {
	Param   *string `json:"param"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
}

// An apiError is the content of the member `error`.
type apiError struct {
	Type      string      `json:"type"`
	Code      string      `json:"code"`
	Message   string      `json:"message"`
	Param     *string     `json:"param"`
	RequestID string      `json:"request_id"`
	Errors    []violation `json:"errors"`
}

// first is what the error says of its first violation.
func (e *apiError) first() violation { return violation{e.Param, e.Code, e.Message} }

// error returns the answer's error after checking its shape against the
// contract: all six members, a code of its status, the first violation repeated.
func (a *answer) error() (*apiError, error) {
	if names, err := memberNames(a.body); err != nil || !slices.Equal(names, []string{"error"}) {
		return nil, fmt.Errorf("the body of status %d is one member `error`, this one is %q", a.status, short(a.body))
	}
	inner, err := lookup(a.body, ".error")
	if err != nil {
		return nil, err
	}
	names, err := memberNames(inner)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	if want := []string{"code", "errors", "message", "param", "request_id", "type"}; !slices.Equal(names, want) {
		return nil, fmt.Errorf("an error has the members %q, this one has %q", want, names)
	}
	if list, err := lookup(inner, ".errors"); err != nil || list.Kind() != '[' {
		return nil, errors.New("the member errors is a list, also when it is empty")
	}
	e := new(apiError)
	if err := json.Unmarshal(inner, e); err != nil {
		return nil, err
	}
	return e, a.judgeError(e)
}

func (a *answer) judgeError(e *apiError) error {
	var errs []error
	if want := errorTypes[a.status]; e.Type != want {
		errs = append(errs, fmt.Errorf("the type of status %d is %q, want %q", a.status, e.Type, want))
	}
	if !slices.Contains(errorCodes[a.status], e.Code) {
		errs = append(errs, fmt.Errorf("status %d has the codes %q, not %q", a.status, errorCodes[a.status], e.Code))
	}
	if id := a.header.Get(requestIDHeader); e.RequestID != id {
		errs = append(errs, fmt.Errorf("request_id is %q, but the header %s is %q", e.RequestID, requestIDHeader, id))
	}
	for _, v := range append(slices.Clone(e.Errors), e.first()) {
		if strings.TrimSpace(v.Message) == "" {
			errs = append(errs, errors.New("a message says what to do, this one is empty"))
		}
		if !slices.Contains(errorCodes[a.status], v.Code) {
			errs = append(errs, fmt.Errorf("a violation has a code of its status, not %q", v.Code))
		}
	}
	switch {
	case e.Param == nil && len(e.Errors) > 0:
		errs = append(errs, errors.New("param is null although errors is not empty"))
	case e.Param != nil && len(e.Errors) == 0:
		errs = append(errs, errors.New("errors is empty although param is not null"))
	case e.Param != nil && e.Errors[0].key() != e.first().key():
		errs = append(errs, fmt.Errorf("param, code and message do not repeat the first violation %s", e.Errors[0].key()))
	case e.Param != nil && e.Errors[0].Message != e.Message:
		errs = append(errs, fmt.Errorf("message is %q, the first violation's is %q", e.Message, e.Errors[0].Message))
	}
	return errors.Join(errs...)
}

// key is code and parameter as scripts write them.
func (v violation) key() string {
	if v.Param == nil {
		return v.Code
	}
	return v.Code + " " + *v.Param
}

// sameAs reports how a differs from b in anything that a client could tell
// two causes apart by.
func (a *answer) sameAs(b *answer) error {
	if a.status != b.status {
		return fmt.Errorf("the status is %d, that of the other answer %d", a.status, b.status)
	}
	if got, want := a.lasting(), b.lasting(); !slices.Equal(got, want) {
		return fmt.Errorf("the headers are\n%s\nthose of the other answer\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := a.masked(), b.masked(); got != want {
		return fmt.Errorf("the body is\n%s\nthat of the other answer\n%s", short(got), short(want))
	}
	return nil
}

// passing are the headers that differ between two answers to the same request:
// the request's own name, the time, and what proxies and API Gateway add.
var passing = []string{"Date", "Connection", "Keep-Alive", "Via", requestIDHeader, "Apigw-Requestid", "X-Amzn-Trace-Id", "X-Amzn-Requestid"}

// lasting lists the headers that two equal answers share.
func (a *answer) lasting() []string {
	var lines []string
	for name, values := range a.header {
		if !slices.Contains(passing, name) {
			lines = append(lines, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(lines)
	return lines
}

// masked is the body without the request's own name.
func (a *answer) masked() string {
	return strings.ReplaceAll(string(a.body), a.header.Get(requestIDHeader), "REQUEST-ID")
}
