package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// An Error is the answer of the API to a request that it refused. Get it from an
// error with [errors.As].
type Error struct {
	// Status is the status of the HTTP response, such as 404.
	Status int `json:"-"`

	// Type and Code say what is wrong, such as invalid_request_error and
	// parameter_invalid. Both are empty if the answer is not from the API but
	// from API Gateway or a proxy before it.
	Type string `json:"type"`
	Code string `json:"code"`

	// Message says what to do about it, for a developer.
	Message string `json:"message"`

	// Param is the field, parameter or header at fault, or empty.
	Param string `json:"param"`

	// RequestID identifies the request in the logs of the API, or is empty.
	RequestID string `json:"request_id"`

	// Violations are all that is wrong with the parameters of the request, at
	// most 100. Code, Message and Param are those of the first.
	Violations []Violation `json:"errors"`

	retryAfter time.Duration
}

// A Violation is one parameter that the API refused, and why.
type Violation struct {
	Param   string `json:"param"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the message with the status and, if there are, the code and the
// request id.
func (e *Error) Error() string {
	text := strconv.Itoa(e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	text += ": " + e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// newError returns the Error of a response that is not a success.
func newError(response *http.Response, body []byte) *Error {
	var content struct {
		Error   *Error `json:"error"`
		Message string `json:"message"` // of an answer of API Gateway
	}
	err := json.Unmarshal(body, &content)
	e := content.Error
	if err != nil || e == nil {
		e = &Error{Message: content.Message, RequestID: response.Header.Get("Apigw-Requestid")}
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("The server answered %s without an explanation.", response.Status)
	}
	e.Status = response.StatusCode
	if e.Status == http.StatusTooManyRequests {
		e.retryAfter = throttleDelay
	}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		e.retryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// temporary reports whether the same request may succeed later.
func (e *Error) temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status >= 500 || e.Code == "idempotency_key_in_use"
}
