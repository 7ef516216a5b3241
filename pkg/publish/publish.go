// Package publish sends an event to an EventBridge bus for every change of a
// lead. It is the code of the function publish-changes, which reads the stream of
// the table.
//
// The source of an event is [Source], its detail-type is lead.created,
// lead.updated or lead.deleted, and event.schema.json describes its detail.
//
// Each change is published at least once, and the changes of one lead in their
// order: the stream has this order, and an event is sent only after EventBridge
// has accepted the previous event of the same lead. An event has the same
// event_id each time it is sent, and the version grows with each change, so
// consumers can recognise events that are repeated or late.
//
// A record for which there can never be an event, because its item is unreadable,
// must not stop the records after it: it goes to the dead-letter queue with the
// reason. A stream whose records lack an image is an error of the whole function.
package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/queue"
)

// Source is the source of all events.
const Source = "overplane.leads"

const (
	// Limits of one request to EventBridge, see
	// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html.
	eventsPerRequest = 10
	bytesPerRequest  = 256 << 10

	// maxDetail is the longest detail that fits into a request, with the other
	// members of its event.
	maxDetail = bytesPerRequest - 128

	// maxRejected is the longest record that fits into an SQS message of 1 MB,
	// with its attributes.
	maxRejected = 1<<20 - 16<<10

	// maxAttempts is how often an event is sent if EventBridge refuses it. After
	// that, Lambda delivers the record again.
	maxAttempts = 4

	// answerMargin is the time that is left for the answer when all other work
	// must end.
	answerMargin = time.Second
)

// Publisher publishes changes.
type Publisher struct {
	Bus         Bus
	DeadLetters queue.Queue // FIFO
	Log         *slog.Logger

	VersionOffset int64 // see [awsenv.VersionOffset]
}

// Bus is an EventBridge bus.
type Bus interface {
	// Put sends at most ten events, and returns for each whether EventBridge
	// refused it. After an error, any of them may have been accepted.
	Put(context.Context, []Event) (refused []bool, err error)
}

// Event is an event for the bus.
type Event struct {
	Type   string // detail-type
	Time   time.Time
	Detail []byte // JSON

	lead   lead.ID
	record int // index of its record in the batch
}

// Invoke publishes one batch of the stream. It implements lambda.Handler. The
// answer has the sequence number of the first record that was not published, and
// Lambda delivers the batch again from this record on, see
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html.
func (p *Publisher) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	records, err := parseRecords(payload)
	if err != nil {
		return nil, messages.InvokeResponse_Error{Type: "json_invalid", Message: err.Error()}
	}
	published, err := p.publish(ctx, records)
	failures := []events.DynamoDBBatchItemFailure{} // not nil, which would be null in JSON
	if err != nil {
		failed := records[published].Change.SequenceNumber
		p.Log.LogAttrs(ctx, slog.LevelError, "record not published", slog.String("sequence_number", failed), slog.String("error", err.Error()))
		failures = append(failures, events.DynamoDBBatchItemFailure{ItemIdentifier: failed})
	}
	p.Log.LogAttrs(ctx, slog.LevelInfo, "batch published", slog.Int("records", len(records)), slog.Int("published", published))
	return json.Marshal(events.DynamoDBEventResponse{BatchItemFailures: failures})
}

// publish publishes records in their order. It returns how many records are
// done; after an error, that is the index of the failed record.
func (p *Publisher) publish(ctx context.Context, records []record) (done int, err error) {
	var batch []Event // for the next request
	size := 0
	send := func() error {
		unsent, err := p.put(ctx, batch)
		if err != nil {
			done = unsent[0].record
		}
		batch, size = nil, 0
		return err
	}
	for i := range records {
		e, ok, err := records[i].event(p.VersionOffset)
		if err != nil {
			if err := p.reject(ctx, &records[i], err); err != nil {
				if err := send(); err != nil {
					return done, err
				}
				return i, err
			}
			continue
		}
		if !ok {
			continue
		}
		e.record = i
		// Two changes of one lead must not be in one request: if EventBridge refused
		// only the first, they would arrive in the wrong order.
		sameLead := slices.ContainsFunc(batch, func(other Event) bool { return other.lead == e.lead })
		if sameLead || len(batch) == eventsPerRequest || size+len(e.Detail) > bytesPerRequest {
			if err := send(); err != nil {
				return done, err
			}
		}
		batch = append(batch, e)
		size += len(e.Detail)
	}
	if err := send(); err != nil {
		return done, err
	}
	return len(records), nil
}

// reject sends a record to the dead-letter queue.
func (p *Publisher) reject(ctx context.Context, r *record, reason error) error {
	p.Log.LogAttrs(ctx, slog.LevelError, "record rejected", slog.String("sequence_number", r.Change.SequenceNumber), slog.String("error", reason.Error()))
	return p.DeadLetters.Send(ctx, []queue.Message{r.rejected(reason).Message()})
}

// put sends events, and sends those that EventBridge refuses again. After an
// error, it returns the events that were not accepted.
func (p *Publisher) put(ctx context.Context, batch []Event) (unsent []Event, err error) {
	for attempt := 1; len(batch) > 0; attempt++ {
		if attempt > maxAttempts {
			return batch, fmt.Errorf("EventBridge refused %d events %d times", len(batch), maxAttempts)
		}
		if attempt > 1 {
			select {
			case <-time.After(25 * time.Millisecond << attempt): // 100, 200 and 400 ms
			case <-ctx.Done():
				return batch, ctx.Err()
			}
		}
		refused, err := p.Bus.Put(ctx, batch)
		if err != nil {
			return batch, err
		}
		var again []Event
		for i, e := range batch {
			if refused[i] {
				again = append(again, e)
			}
		}
		batch = again
	}
	return nil, nil
}
