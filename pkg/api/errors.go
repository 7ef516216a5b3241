package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// problem is an error as clients see it.
type problem struct {
	status     int
	kind       string // the member "type"
	code       string
	message    string               // what is wrong and what to do
	violations lead.ValidationError // where there are some, the first is code and message
	retryAfter time.Duration        // 0 for no Retry-After
}

func (p *problem) Error() string { return p.code + ": " + p.message }

const (
	invalidRequest   = "invalid_request_error"
	idempotencyError = "idempotency_error"
	apiError         = "api_error"
)

// Errors that are found without the store.
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
	errContentType = &problem{
		status: http.StatusUnsupportedMediaType, kind: invalidRequest, code: "content_type_unsupported",
		message: "Send the body as JSON, with the header \"Content-Type: application/json\".",
	}
	errContentEncoding = &problem{
		status: http.StatusUnsupportedMediaType, kind: invalidRequest, code: "content_type_unsupported",
		message: "Send the body as it is, not compressed, and leave out the header Content-Encoding.",
	}
	errNoStrongTag = &problem{
		status: http.StatusPreconditionFailed, kind: invalidRequest, code: "precondition_failed",
		message: "If-Match holds no strong entity tag of this lead. Send the ETag of an answer unchanged, quotes included.",
	}
	errNoMatch = &problem{
		status: http.StatusNotFound, kind: invalidRequest, code: "resource_missing",
		message: "No lead has this e-mail address. To create one, leave out If-Match.",
	}
	errNoneMatch = &problem{
		status: http.StatusPreconditionFailed, kind: invalidRequest, code: "precondition_failed",
		message: "The lead is at a version that If-None-Match, or If-Match, rules out. Retrieve it to see its ETag.",
	}
)

func scopeMissing(needed apikey.Scopes) error {
	return &problem{
		status: http.StatusForbidden, kind: "permission_error", code: "scope_missing",
		message: fmt.Sprintf("This API key lacks the scope %s. Use a key that has it.", needed),
	}
}

func bodyTooLarge(limit int64) error {
	return &problem{
		status: http.StatusRequestEntityTooLarge, kind: invalidRequest, code: "body_too_large",
		message: fmt.Sprintf("Send a body of at most %d bytes.", limit),
	}
}

// problemOf is the one table from errors to statuses. An error that is not in it
// is our fault: clients get a 500 that tells nothing about it.
func problemOf(err error) *problem {
	var p *problem
	var invalid lead.ValidationError
	var syntax *lead.SyntaxError
	var ambiguous *lead.AmbiguousError
	var unavailable *lead.UnavailableError
	if !errors.As(err, &unavailable) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		unavailable = &lead.UnavailableError{RetryAfter: time.Second, Err: err}
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return &problem{
			status: http.StatusBadRequest, kind: invalidRequest, code: string(invalid[0].Code), message: invalid[0].Message,
			violations: invalid[:min(len(invalid), lead.MaxViolations)],
		}
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
			message: "The lead is at another version than the request asks for. Retrieve it and repeat the request with its new ETag.",
		}
	case errors.As(err, &ambiguous):
		return matchProblem(http.StatusConflict, lead.MatchName, "match_ambiguous",
			fmt.Sprintf("More than one lead has this e-mail address. Update one of them by its id: %s.", joinIDs(ambiguous.IDs)))
	case errors.Is(err, lead.ErrFilterOff): // of an upsert; lists name the filter
		return matchProblem(http.StatusBadRequest, "match", lead.ParameterInvalid,
			"Create leads, or update them by their ids: upserts are switched off in this deployment, with the filter email_id.")
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
	case unavailable != nil && unavailable.Throttled:
		return &problem{
			status: http.StatusTooManyRequests, kind: "rate_limit_error", code: "rate_limited",
			message:    "Too many requests at once. Send the same request again after the pause that Retry-After says.",
			retryAfter: unavailable.RetryAfter,
		}
	case unavailable != nil:
		return &problem{
			status: http.StatusServiceUnavailable, kind: apiError, code: "unavailable",
			message:    "The service could not answer in time. Send the same request again after the pause that Retry-After says; with an Idempotency-Key a create cannot happen twice.",
			retryAfter: unavailable.RetryAfter,
		}
	}
	return &problem{
		status: http.StatusInternalServerError, kind: apiError, code: "internal",
		message: "Something went wrong on our side. Try again, and report the request_id if it stays so.",
	}
}

// matchProblem returns the problem of an upsert that cannot look for a lead.
func matchProblem(status int, param string, code lead.Code, message string) *problem {
	return &problem{
		status: status, kind: invalidRequest, code: string(code), message: message,
		violations: lead.ValidationError{{Param: param, Code: code, Message: message}},
	}
}

func joinIDs(ids []lead.ID) (joined string) {
	for i, id := range ids {
		if i > 0 {
			joined += ", "
		}
		joined += string(id)
	}
	return joined
}

// fail makes an error the answer, unless an answer was sent before.
func (w *response) fail(err error) {
	w.err = err
	if w.sent {
		return
	}
	p := problemOf(err)
	w.setRetryAfter(p.retryAfter)
	w.setJSON(p.status, fmt.Appendf(nil, `{"error":%s}`, ErrorJSON(err, w.requestID)))
}

func (w *response) setRetryAfter(pause time.Duration) {
	if pause > 0 {
		seconds := (pause + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", fmt.Sprint(int64(seconds)))
	}
}

// Describe returns an error for callers who do not use HTTP: the code that a
// client would see, and sentences that say what is wrong and what to do.
func Describe(err error) (code, message string) {
	p := problemOf(err)
	if len(p.violations) > 0 {
		return p.code, p.violations.Error()
	}
	return p.code, p.message
}

// ErrorJSON returns the JSON object that is the member "error" of an answer. It
// has no request id if requestID is "", as in a result of a batch.
func ErrorJSON(err error, requestID string) []byte {
	p := problemOf(err)
	body := struct {
		Type      string           `json:"type"`
		Code      string           `json:"code"`
		Message   string           `json:"message"`
		Param     *string          `json:"param"`
		RequestID string           `json:"request_id,omitempty"`
		Errors    []lead.Violation `json:"errors"`
	}{p.kind, p.code, p.message, nil, requestID, []lead.Violation{}}
	if len(p.violations) > 0 {
		body.Param, body.Errors = &p.violations[0].Param, p.violations
	}
	text, _ := json.Marshal(body) // strings cannot fail
	// encoding/json escapes characters that have a meaning in HTML. AppendFormat
	// writes them as they are.
	text, _ = jsontext.AppendFormat(nil, text)
	return text
}
