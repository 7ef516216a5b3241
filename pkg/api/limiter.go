package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"overplane.dev/leads/pkg/lead"
)

const (
	// atWork is how many requests are worked on at once. More would only make
	// each slower, and the books longer by a lane: it is what the database
	// answers best, and far more than a Lambda function ever has, which gets
	// one event at a time.
	atWork = 32

	// inHouse is how many requests there are at once whose body has come, those
	// that wait for a place at work and for a slow client to take its answer
	// included. It bounds memory.
	inHouse = 1024

	// arriving is how many bodies are read at once, and bodyTime how long each
	// may take. Requests without a body need not wait for these.
	arriving = 1024
	bodyTime = 5 * time.Second

	// maxBody is the greatest size of a body in bytes. The largest lead fits
	// in any way of escaping it.
	maxBody = 128 << 10
)

// crowd bounds how many requests there are at once.
type crowd struct{ door, house, work chan struct{} }

func newCrowd() crowd {
	return crowd{make(chan struct{}, arriving), make(chan struct{}, inHouse), make(chan struct{}, atWork)}
}

// receive reads the body of a request that has one. A [*lead.UnavailableError] says
// that there is no time for it; any other error is for those who want the body.
func (a *API) receive(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if !take(a.crowd.door) {
		return nil, errCrowded
	}
	defer func() { <-a.crowd.door }()
	// In Lambda, where a body comes with its event, there is no such deadline.
	connection := http.NewResponseController(x.client)
	connection.SetReadDeadline(time.Now().Add(bodyTime)) //nolint:errcheck
	body, err := io.ReadAll(http.MaxBytesReader(x.client, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("the body did not come in time")}
	case err != nil:
		return nil, &lead.SyntaxError{Message: "The body broke off. Send it again, whole."}
	}
	connection.SetReadDeadline(time.Time{}) //nolint:errcheck
	return body, nil
}

// enter lets a request in. Who entered must leave.
func (c crowd) enter() error {
	if !take(c.house) {
		return errCrowded
	}
	return nil
}

func (c crowd) leave() { <-c.house }

// begin waits for a place at work. Who began must end.
func (c crowd) begin(ctx context.Context) error {
	select {
	case c.work <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errCrowded
	}
}

func (c crowd) end() { <-c.work }

// take takes a place where one is free.
func take(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

var errCrowded = &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("too many requests at once")}
