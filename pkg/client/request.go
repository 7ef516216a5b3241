package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	maxAttempts = 6

	// firstDelay is the wait before the second attempt. The wait doubles with
	// each attempt.
	firstDelay = 200 * time.Millisecond

	// throttleDelay is the wait after a 429 of API Gateway, which has no
	// Retry-After.
	throttleDelay = time.Second
)

// defaultHTTPClient waits longer for an answer than API Gateway, which ends a
// request after 30 seconds.
var defaultHTTPClient = &http.Client{Timeout: 35 * time.Second}

// A request is a request to the API.
type request struct {
	method                  string
	path                    string // after /api/crm/lead
	idempotencyKey, ifMatch string // headers, if not empty
	body                    any    // sent as JSON, if not nil
}

// A response is what send returns beside the content of an answer.
type response struct {
	etag string

	// uncertain reports whether an attempt failed in a way that does not tell
	// whether it took effect.
	uncertain bool
}

// send sends a request, and sends it again after a temporary failure. It decodes
// the content of the answer into result, unless result is nil.
func (c *Client) send(ctx context.Context, r request, result any) (response, error) {
	var res response
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return res, err
	}
	for attempt := 1; ; attempt++ {
		header, content, err := c.sendOnce(req)
		if err == nil {
			res.etag = strings.TrimPrefix(header.Get("ETag"), "W/") // proxies that compress make tags weak
			if result != nil {
				err = json.Unmarshal(content, result)
			}
			if err != nil {
				err = fmt.Errorf("the answer is not that of the lead API: %w", err)
			}
			return res, err
		}
		refusal, answered := errors.AsType[*Error](err)
		permanent := answered && !refusal.temporary() || errors.Is(err, syscall.ECONNREFUSED) // nothing listens there
		if permanent || attempt == maxAttempts || ctx.Err() != nil {
			return res, err
		}
		res.uncertain = res.uncertain || !answered || refusal.Status >= 500

		delay := firstDelay << (attempt - 1)
		delay += rand.N(delay) // so that clients do not retry at the same time
		if answered {
			delay += refusal.retryAfter
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
			return res, err
		}
		if waitErr := wait(ctx, delay); waitErr != nil {
			return res, errors.Join(waitErr, err)
		}
	}
}

// wait waits for a time. It returns an error if the context ends before.
func wait(ctx context.Context, delay time.Duration) error {
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	var body []byte
	var err error
	if r.body != nil {
		if body, err = json.Marshal(r.body); err != nil {
			return nil, fmt.Errorf("the lead has no JSON form: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, strings.TrimSuffix(c.URL, "/")+"/api/crm/lead"+r.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Key)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", r.idempotencyKey)
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	return req, nil
}

// sendOnce sends a request and returns the header and the content of the answer.
// It returns an Error for an answer that is not a success.
func (c *Client) sendOnce(req *http.Request) (header http.Header, content []byte, err error) {
	if req.Body, err = req.GetBody(); err != nil {
		return nil, nil, err
	}
	client := *cmp.Or(c.HTTPClient, defaultHTTPClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if content, err = io.ReadAll(resp.Body); err != nil {
		return nil, nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, newError(resp, content)
	}
	return resp.Header, content, nil
}
