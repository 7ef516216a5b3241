package contract

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A response is what came back to a request, read to its end.
type response struct {
	request *request
	status  int
	header  http.Header
	body    jsontext.Value // empty if there is none
}

const requestIDHeader = "Request-Id"

// errorClasses is the contract's table of errors, by status.
var errorClasses = map[int]struct {
	kind   string   // the member type
	codes  []string // of the error and of each violation
	header string   // that the response must have
}{
	400: {"invalid_request_error", []string{"json_invalid", "parameter_unknown", "parameter_invalid", "parameter_too_long"}, ""},
	401: {"authentication_error", []string{"api_key_invalid"}, "Www-Authenticate"},
	403: {"permission_error", []string{"scope_missing"}, ""},
	404: {"invalid_request_error", []string{"resource_missing", "route_unknown"}, ""},
	405: {"invalid_request_error", []string{"method_not_allowed"}, "Allow"},
	409: {"idempotency_error", []string{"idempotency_key_reused", "idempotency_key_in_use"}, ""}, // see ambiguous
	412: {"invalid_request_error", []string{"precondition_failed"}, ""},
	413: {"invalid_request_error", []string{"body_too_large"}, ""},
	415: {"invalid_request_error", []string{"content_type_unsupported"}, ""},
	429: {"rate_limit_error", []string{"rate_limited"}, "Retry-After"},
	500: {"api_error", []string{"internal"}, ""},
	503: {"api_error", []string{"unavailable"}, "Retry-After"},
}

// ambiguous is the other code of status 409, which has the type of most errors.
const ambiguous = "match_ambiguous"

// checkRules checks what every response must have.
func (resp *response) checkRules() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if ids := resp.header.Values(requestIDHeader); len(ids) != 1 || ids[0] == "" {
		report("every response has one %s, this one has %q", requestIDHeader, ids)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := resp.header.Get(name); got != want {
			report("every response has %s: %s, this one has %q", name, want, got)
		}
	}
	if name := errorClasses[resp.status].header; name != "" && resp.header.Get(name) == "" {
		report("a response with status %d has %s, this one has none", resp.status, name)
	}
	if len(resp.body) > 0 {
		media, _, err := mime.ParseMediaType(resp.header.Get("Content-Type"))
		switch {
		case resp.request.method == http.MethodHead, resp.status == http.StatusNoContent, resp.status == http.StatusNotModified:
			report("the response to %s with status %d has a body", resp.request.method, resp.status)
		case err != nil || media != "application/json":
			report("a body has the type application/json, this one has %q", resp.header.Get("Content-Type"))
		case !resp.body.IsValid(): // strict: no duplicate names, no invalid UTF-8
			report("the body is not valid JSON")
		}
	}
	if resp.status >= 400 && resp.request.method != http.MethodHead {
		_, err := resp.readError()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// A violation is one entry of the member errors.
type violation struct {
	Param   *string `json:"param"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
}

// String returns code and parameter as scripts write them.
func (v violation) String() string {
	if v.Param == nil {
		return v.Code
	}
	return v.Code + " " + *v.Param
}

// An apiError is the content of the member error. Its own param, code and message
// repeat the first violation.
type apiError struct {
	violation
	Type      string      `json:"type"`
	RequestID string      `json:"request_id"`
	Errors    []violation `json:"errors"`
}

// readError returns the response's error after checking that it is as the
// contract says.
func (resp *response) readError() (*apiError, error) {
	outer, _ := memberNames(resp.body)
	content, err := lookUp(resp.body, ".error")
	if err != nil || len(outer) != 1 {
		return nil, fmt.Errorf("the body of status %d has one member error, this one is %q", resp.status, shorten(resp.body))
	}
	names, err := memberNames(content)
	slices.Sort(names)
	if want := []string{"code", "errors", "message", "param", "request_id", "type"}; err != nil || !slices.Equal(names, want) {
		return nil, fmt.Errorf("an error has the members %q, this one has %q", want, names)
	}
	e := new(apiError)
	if err := json.Unmarshal(content, e); err != nil {
		return nil, err
	}
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	class := errorClasses[resp.status]
	if resp.status == 409 && e.Code == ambiguous {
		class.kind, class.codes = errorClasses[400].kind, []string{ambiguous}
	}
	if e.Type != class.kind {
		report("the type of status %d is %q, want %q", resp.status, e.Type, class.kind)
	}
	if id := resp.header.Get(requestIDHeader); e.RequestID != id {
		report("request_id is %q, but the header %s is %q", e.RequestID, requestIDHeader, id)
	}
	for _, v := range append(slices.Clone(e.Errors), e.violation) {
		if strings.TrimSpace(v.Message) == "" {
			report("a message says what to do, this one is empty")
		}
		if !slices.Contains(class.codes, v.Code) {
			report("status %d has the codes %q, not %q", resp.status, class.codes, v.Code)
		}
	}
	if e.Errors == nil {
		report("the member errors is a list, also when it is empty")
	}
	if len(e.Errors) == 0 && e.Param != nil {
		report("errors is empty although param is not null")
	}
	if len(e.Errors) > 0 && (e.Param == nil || e.Errors[0].String() != e.String() || e.Errors[0].Message != e.Message) {
		report("param, code and message do not repeat the first violation %s: %q", e.Errors[0], e.Errors[0].Message)
	}
	return e, errors.Join(errs...)
}

// checkError compares the response with STATUS CODE [PARAM...][, CODE PARAM...].
func (resp *response) checkError(text string) error {
	status, violations, _ := strings.Cut(text, " ")
	if strconv.Itoa(resp.status) != status {
		return fmt.Errorf("the status is %d", resp.status)
	}
	e, err := resp.readError()
	if err != nil {
		return err
	}
	var got, want []string
	for _, v := range e.Errors {
		got = append(got, v.String())
	}
	if len(got) == 0 {
		got = []string{e.Code}
	}
	for group := range strings.SplitSeq(violations, ", ") {
		code, params, _ := strings.Cut(group, " ")
		for _, param := range strings.Fields(params) {
			want = append(want, code+" "+strings.Trim(param, `"`)) // "" is the empty name
		}
		if params == "" {
			want = append(want, code)
		}
	}
	// The contract does not say in which order violations come.
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the violations are %q, want %q", got, want)
	}
	return nil
}

// variableHeaders are the headers that differ between two responses to the same
// request: the request's id, the time, and what proxies and API Gateway add.
var variableHeaders = []string{"Date", "Connection", "Keep-Alive", "Via", requestIDHeader, "Apigw-Requestid", "X-Amzn-Trace-Id", "X-Amzn-Requestid"}

// comparable returns what two responses to the same request have in common, so
// that a client cannot tell two causes apart.
func (resp *response) comparable() string {
	header := resp.header.Clone()
	for _, name := range variableHeaders {
		header.Del(name)
	}
	var text strings.Builder
	fmt.Fprintln(&text, resp.status)
	header.Write(&text) // sorted by name
	body := string(resp.body)
	if id := resp.header.Get(requestIDHeader); id != "" {
		body = strings.ReplaceAll(body, id, "REQUEST-ID")
	}
	return text.String() + body
}
