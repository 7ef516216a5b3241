package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"overplane.dev/leads/pkg/lead"
)

const (
	// maxBody is the greatest size of a body in bytes. The largest lead fits,
	// however its characters are escaped.
	maxBody = 128 << 10

	// maxBatchBody is the greatest size of the body of a batch in bytes.
	maxBatchBody = 1 << 20

	// bodyTime is how long a client may take to send a body.
	bodyTime = 5 * time.Second
)

// readBody reads the body of a request, where it has one, of at most limit bytes.
// It returns a [*lead.UnavailableError] where the body did not arrive in time. Any
// other error is to be returned by endpoints that need the body.
func (a *API) readBody(w *response, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	// In Lambda the body is part of the event, and deadlines have no effect.
	connection := http.NewResponseController(w.client)
	connection.SetReadDeadline(time.Now().Add(bodyTime))           //nolint:errcheck
	stop := func() { connection.SetReadDeadline(time.Unix(1, 0)) } //nolint:errcheck
	reading := a.limiter.bodies.begin(limit/maxBody, stop)
	body, err := io.ReadAll(http.MaxBytesReader(w.client, r.Body, limit))
	a.limiter.bodies.end(reading)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, bodyTooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("the body did not arrive in time")}
	case err != nil:
		return nil, &lead.SyntaxError{Message: "The body broke off. Send it again, whole."}
	}
	connection.SetReadDeadline(time.Time{}) //nolint:errcheck
	return body, nil
}

// leaveBody prepares an answer that is sent before the body was read. Otherwise
// net/http would first wait for the body. It reads the rest of the body later, for
// at most bodyTime, and closes the connection.
func (w *response) leaveBody(r *http.Request) {
	connection := http.NewResponseController(w.client)
	if r.ContentLength == 0 || connection.EnableFullDuplex() != nil { // not in Lambda
		return
	}
	connection.SetReadDeadline(time.Now().Add(bodyTime)) //nolint:errcheck
	w.Header().Set("Connection", "close")
}

// checkBody returns an error unless there is a body of one of these media types, or
// none.
func (r *request) checkBody(types ...string) error {
	switch {
	case r.bodyErr != nil:
		return r.bodyErr
	case slices.ContainsFunc(r.Header.Values("Content-Encoding"), func(coding string) bool { return !strings.EqualFold(coding, "identity") }):
		return errContentEncoding
	case len(bytes.Trim(r.body, " \t\r\n")) > 0 && !hasType(r.Header, types):
		return errContentType
	}
	return nil
}

// changes parses a body of one of these media types. Violations found in the
// headers are returned together with those of the query and the body.
func (r *request) changes(headers lead.ValidationError, types ...string) ([]lead.Change, error) {
	return r.parseBody(lead.ParseChanges, append(unknownParameters(r.query()), headers...), types...)
}

// parseBody parses a body of one of these media types. Violations found before are
// returned together with those of the body.
func (r *request) parseBody(parse func([]byte) ([]lead.Change, error), invalid lead.ValidationError, types ...string) ([]lead.Change, error) {
	if err := r.checkBody(types...); err != nil {
		return nil, err
	}
	changes, err := parse(r.body)
	var more lead.ValidationError
	if err != nil && !errors.As(err, &more) {
		return nil, err
	}
	if invalid = append(invalid, more...); len(invalid) > 0 {
		return nil, invalid
	}
	return changes, nil
}

// hasType reports whether the headers declare one of these media types, with
// any parameters, or no type at all.
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
