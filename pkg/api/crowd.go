package api

import (
	"context"
	"errors"
	"time"

	"overplane.dev/leads/pkg/lead"
)

const (
	// atWork is how many requests are worked on at once. More would only make
	// each slower: it is what the database answers best, and far more than a
	// Lambda function ever has, which gets one event at a time.
	atWork = 64

	// inHouse is how many requests there are at once, those that wait for a
	// place at work included. It bounds memory.
	inHouse = 1024
)

// crowd bounds how many requests there are at once.
type crowd struct{ house, work chan struct{} }

func newCrowd() crowd {
	return crowd{make(chan struct{}, inHouse), make(chan struct{}, atWork)}
}

// enter waits for a place at work. Who entered must leave.
func (c crowd) enter(ctx context.Context) error {
	select {
	case c.house <- struct{}{}:
	default:
		return &lead.BusyError{RetryAfter: time.Second, Err: errCrowded}
	}
	select {
	case c.work <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-c.house
		return &lead.BusyError{RetryAfter: time.Second, Err: errCrowded}
	}
}

func (c crowd) leave() {
	<-c.work
	<-c.house
}

var errCrowded = errors.New("too many requests at once")
