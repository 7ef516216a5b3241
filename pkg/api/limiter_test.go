package api

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"overplane.dev/leads/pkg/lead"
)

func TestCrowd(t *testing.T) {
	c := newCrowd()
	come := func(ctx context.Context) error {
		if err := c.enter(); err != nil {
			return err
		}
		if err := c.begin(ctx); err != nil {
			c.leave()
			return err
		}
		return nil
	}
	for range atWork {
		if err := come(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	for range inHouse - atWork {
		go func() { waited <- come(gone) }()
	}
	for len(c.house) < inHouse {
		runtime.Gosched() // until all of them wait
	}
	var busy *lead.UnavailableError
	if err := c.enter(); !errors.As(err, &busy) || busy.Throttled || busy.RetryAfter <= 0 {
		t.Errorf("a full house answers %v", err)
	}
	c.end()
	if err := <-waited; err != nil {
		t.Errorf("a place became free, and yet %v", err)
	}
	c.leave()
	cancel()
	for range inHouse - atWork - 1 {
		if err := <-waited; !errors.As(err, &busy) {
			t.Errorf("who waits no longer is told %v", err)
		}
	}
	for range atWork {
		c.end()
		c.leave()
	}
	if len(c.house)+len(c.work) > 0 {
		t.Errorf("%d are in the house and %d at work after all have left", len(c.house), len(c.work))
	}
}
