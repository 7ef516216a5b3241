// Package publish tells the world what happened to leads: it turns the table's
// stream into events on an EventBridge bus. It is the function publish-changes.
//
// An event's source is [Source], its detail-type lead.created, lead.updated or
// lead.deleted, and its detail as event.schema.json describes.
//
// Each change is published at least once, and those of one lead in their order:
// the stream has them so, and no event is sent before the one before it of the
// same lead was accepted. An event's event_id is the same each time it is sent,
// and its version grows with each change of a lead, so that whoever gets one
// twice or late can tell.
package publish

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// Source is the source of all events.
const Source = "overplane.leads"

const (
	// Bounds of one request to EventBridge, see
	// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html.
	eventsPerRequest = 10
	bytesPerRequest  = 256 << 10

	// tries is how often events that EventBridge refuses are sent before Lambda
	// is left to deliver them again.
	tries = 4

	// margin is the time kept for the answer before Lambda ends the function.
	margin = time.Second
)

// Publisher publishes changes.
type Publisher struct {
	Bus Bus
	Log *slog.Logger
}

// Bus is a bus of EventBridge.
type Bus interface {
	// Put sends at most ten events and says of each whether it was refused. An
	// error means that it is not known of any.
	Put(context.Context, []Event) (refused []bool, err error)
}

// Event is an event for the bus.
type Event struct {
	Type   string // its detail-type
	Time   time.Time
	Detail []byte // JSON

	lead lead.ID
}

// Invoke answers one batch of the stream. It is a lambda.Handler. It reports the
// first record that was not published by its sequence number; Lambda delivers
// from there on again, see
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html.
func (p *Publisher) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	records, err := parse(payload)
	if err != nil {
		return nil, messages.InvokeResponse_Error{Type: "json_invalid", Message: err.Error()}
	}
	published, err := p.publish(ctx, records)
	answer := []byte(`{"batchItemFailures":[`)
	if err != nil {
		failed := records[published].sequenceNumber
		p.Log.LogAttrs(ctx, slog.LevelError, "not published", slog.String("sequence_number", failed), slog.String("error", err.Error()))
		answer = append(answer, `{"itemIdentifier":`...)
		answer = append(plainjson.AppendString(answer, failed), '}')
	}
	p.Log.LogAttrs(ctx, slog.LevelInfo, "changes", slog.Int("records", len(records)), slog.Int("done", published))
	return append(answer, "]}"...), nil
}

// publish publishes records in their order. After an error, done is how many of
// them are dealt with, and the next is the one that is at fault.
func (p *Publisher) publish(ctx context.Context, records []record) (done int, err error) {
	var wave []Event // events that may be sent together
	var of []int     // whose they are
	size := 0
	flush := func() error {
		failed, err := p.put(ctx, wave)
		if err != nil {
			done = of[failed]
		}
		wave, of, size = nil, nil, 0
		return err
	}
	for i := range records {
		e, ok, err := records[i].event()
		if err != nil {
			if flushErr := flush(); flushErr != nil {
				return done, flushErr
			}
			return i, err
		}
		if !ok {
			continue
		}
		// Two changes of one lead in one request could change places when the
		// first of them is refused.
		full := len(wave) == eventsPerRequest || size+len(e.Detail) > bytesPerRequest
		for _, before := range wave {
			full = full || before.lead == e.lead
		}
		if full {
			if err := flush(); err != nil {
				return done, err
			}
		}
		wave, of, size = append(wave, e), append(of, i), size+len(e.Detail)
	}
	if err := flush(); err != nil {
		return done, err
	}
	return len(records), nil
}

// put sends events, those that are refused a few times. After an error, failed is
// the first that was not accepted.
func (p *Publisher) put(ctx context.Context, events []Event) (failed int, err error) {
	left := make([]int, len(events)) // indexes of those not accepted yet
	for i := range left {
		left[i] = i
	}
	for try := 0; len(left) > 0; try++ {
		if try == tries {
			return left[0], fmt.Errorf("EventBridge refused %d of %d events %d times", len(left), len(events), tries)
		}
		if try > 0 && !pause(ctx, try) {
			return left[0], ctx.Err()
		}
		var some []Event
		for _, i := range left {
			some = append(some, events[i])
		}
		refused, err := p.Bus.Put(ctx, some)
		if err != nil {
			return left[0], err
		}
		var again []int
		for j, i := range left {
			if refused[j] {
				again = append(again, i)
			}
		}
		left = again
	}
	return 0, nil
}

// pause waits before another try. It reports false when the time is up.
func pause(ctx context.Context, try int) bool {
	select {
	case <-time.After(50 * time.Millisecond << try):
		return true
	case <-ctx.Done():
		return false
	}
}
