package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// problem is an error as a client sees it.
type problem struct {
	status     int
	kind       string // the member "type"
	code       string
	message    string // says what to do
	violations lead.ValidationError
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.code + ": " + p.message }

const (
	invalidRequest   = "invalid_request_error"
	idempotencyError = "idempotency_error"
	apiError         = "api_error"
)

// Errors of the HTTP side.
var (
	errRouteUnknown = &problem{
		status: http.StatusNotFound, kind: invalidRequest, code: "route_unknown",
		message: "There is nothing at this path. Leads are at " + collection + " and " + member + ", with no slash at the end.",
	}
	errMethodNotAllowed = &problem{
		status: http.StatusMethodNotAllowed, kind: invalidRequest, code: "method_not_allowed",
		message: "This path does not take this method. Use one of the methods that the Allow header lists.",
	}
	errKeyInvalid = &problem{
		status: http.StatusUnauthorized, kind: "authentication_error", code: "api_key_invalid",
		message: "Send a valid API key: the header \"Authorization: Bearer sk_test_...\" or \"sk_live_...\".",
	}
	errBodyTooLarge = &problem{
		status: http.StatusRequestEntityTooLarge, kind: invalidRequest, code: "body_too_large",
		message: fmt.Sprintf("Send a body of at most %d bytes.", maxBody),
	}
	errContentType = &problem{
		status: http.StatusUnsupportedMediaType, kind: invalidRequest, code: "content_type_unsupported",
		message: "Send the body as JSON, with the header \"Content-Type: application/json\".",
	}
)

func scopeMissing(needed apikey.Scopes) error {
	return &problem{
		status: http.StatusForbidden, kind: "permission_error", code: "scope_missing",
		message: fmt.Sprintf("This API key lacks the scope %s. Use a key that has it.", needed),
	}
}

// problemOf is the one place where an error gets its status. An error that is
// not expected here is ours, and tells the client nothing of itself.
func problemOf(err error) *problem {
	var p *problem
	var invalid lead.ValidationError
	var syntax *lead.SyntaxError
	var busy *lead.UnavailableError
	if !errors.As(err, &busy) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		busy = &lead.UnavailableError{RetryAfter: time.Second, Err: err}
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return &problem{status: http.StatusBadRequest, kind: invalidRequest, violations: invalid}
	case errors.As(err, &syntax):
		return &problem{status: http.StatusBadRequest, kind: invalidRequest, code: "json_invalid", message: syntax.Message}
	case errors.Is(err, lead.ErrNotFound):
		return &problem{
			status: http.StatusNotFound, kind: invalidRequest, code: "resource_missing",
			message: "There is no such lead. Check its id, and that the key is of the same account and mode.",
		}
	case errors.Is(err, lead.ErrPreconditionFailed):
		return &problem{
			status: http.StatusPreconditionFailed, kind: invalidRequest, code: "precondition_failed",
			message: "The lead has changed since. Retrieve it again and repeat the call with its new ETag.",
		}
	case errors.Is(err, lead.ErrKeyReused):
		return &problem{
			status: http.StatusConflict, kind: idempotencyError, code: "idempotency_key_reused",
			message: "This Idempotency-Key was used with another body. Use a new key for a new lead.",
		}
	case errors.Is(err, lead.ErrKeyInUse):
		return &problem{
			status: http.StatusConflict, kind: idempotencyError, code: "idempotency_key_in_use",
			message: "A request with this Idempotency-Key is still running. Send the same request again in a moment.",
		}
	case busy != nil && busy.Throttled:
		return &problem{
			status: http.StatusTooManyRequests, kind: "rate_limit_error", code: "rate_limited",
			message:    "Too many requests at once. Send the same request again after the pause that Retry-After says.",
			retryAfter: busy.RetryAfter,
		}
	case busy != nil:
		return &problem{
			status: http.StatusServiceUnavailable, kind: apiError, code: "unavailable",
			message:    "The service could not answer in time. Send the same request again after the pause that Retry-After says; with an Idempotency-Key a create cannot happen twice.",
			retryAfter: busy.RetryAfter,
		}
	}
	return &problem{
		status: http.StatusInternalServerError, kind: apiError, code: "internal",
		message: "Something went wrong on our side. Try again, and report the request_id if it stays so.",
	}
}

// fail makes an error the answer.
func (x *exchange) fail(err error) {
	x.err = err
	if x.answered { // too late
		return
	}
	p := problemOf(err)
	if p.retryAfter > 0 {
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		x.Header().Set("Retry-After", fmt.Sprint(int64(seconds)))
	}
	x.send(p.status, append(p.appendError([]byte(`{"error":`), x.requestID), '}'))
}

// Describe returns an error as callers without HTTP see it: the code that a
// client would see, and sentences that say what to do.
func Describe(err error) (code, message string) {
	p := problemOf(err)
	if len(p.violations) > 0 {
		return string(p.violations[0].Code), p.violations.Error()
	}
	return p.code, p.message
}

// AppendError appends what an answer has as its member "error" to dst.
func AppendError(dst []byte, err error, requestID string) []byte {
	return problemOf(err).appendError(dst, requestID)
}

// appendError appends the error. All members are always there; the first
// violation, if there is one, speaks for all.
func (p *problem) appendError(dst []byte, requestID string) []byte {
	code, message, param := p.code, p.message, "null"
	if len(p.violations) > 0 {
		first := p.violations[0]
		code, message, param = string(first.Code), first.Message, string(quote(nil, first.Param))
	}
	dst = append(dst, `{"type":`...)
	dst = quote(dst, p.kind)
	dst = append(dst, `,"code":`...)
	dst = quote(dst, code)
	dst = append(dst, `,"message":`...)
	dst = quote(dst, message)
	dst = append(dst, `,"param":`...)
	dst = append(dst, param...)
	dst = append(dst, `,"request_id":`...)
	dst = quote(dst, requestID)
	dst = append(dst, `,"errors":[`...)
	for i, v := range p.violations {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"param":`...)
		dst = quote(dst, v.Param)
		dst = append(dst, `,"code":`...)
		dst = quote(dst, string(v.Code))
		dst = append(dst, `,"message":`...)
		dst = quote(dst, v.Message)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func quote(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	return dst
}
