package localdb

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// signatureTime is how far the time of a signature may be from the time of
// DynamoDB.
const signatureTime = 15 * time.Minute

// SignatureChecker is an [http.RoundTripper] that does what DynamoDB does and the
// engine does not: it refuses requests whose signature is more than 15 minutes old
// or in the future, and its answers have the Date of Now. It does not check
// signatures otherwise. As the Transport of an [net/http/httputil.ReverseProxy] it
// is a server.
type SignatureChecker struct {
	Next http.RoundTripper // reaches the engine

	// Now returns the time of the engine. It is time.Now when nil.
	Now func() time.Time
}

// RoundTrip implements [http.RoundTripper].
func (c *SignatureChecker) RoundTrip(r *http.Request) (*http.Response, error) {
	const layout = "20060102T150405Z"
	now := c.now()
	signed, err := time.Parse(layout, r.Header.Get("X-Amz-Date"))
	isSigned := err == nil
	var problem string
	switch earliest, latest := now.Add(-signatureTime), now.Add(signatureTime); {
	case isSigned && signed.Before(earliest):
		problem = fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 15 min.)", signed.Format(layout), earliest.Format(layout), now.Format(layout))
	case isSigned && signed.After(latest):
		problem = fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 15 min.)", signed.Format(layout), latest.Format(layout), now.Format(layout))
	default:
		response, err := c.Next.RoundTrip(r)
		if err == nil {
			response.Header.Set("Date", c.now().Format(http.TimeFormat))
		}
		return response, err
	}
	if r.Body != nil {
		r.Body.Close()
	}
	body := fmt.Sprintf(`{"__type":"com.amazon.coral.service#InvalidSignatureException","message":%q}`, problem)
	return &http.Response{
		Status:     "400 Bad Request",
		StatusCode: http.StatusBadRequest,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/x-amz-json-1.0"},
			"Date":         {now.Format(http.TimeFormat)},
		},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}

func (c *SignatureChecker) now() time.Time {
	if c.Now == nil {
		return time.Now().UTC()
	}
	return c.Now().UTC()
}
