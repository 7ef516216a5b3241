// Package ingest creates and upserts leads from what other AWS services send: SQS
// messages, SNS notifications, EventBridge events, files in S3, and calls with many
// leads. It is the code of the function ingest-leads.
//
// These services deliver each record at least once, sometimes twice, and in any
// order. Package ingest creates each lead exactly once and loses no record.
//
// # Exactly once
//
// Each record has an idempotency key, which is the same in all deliveries of the
// record. The lead and its key are written in one transaction
// ([lead.IdempotencyKey]): a second delivery finds the key and creates nothing.
// Keys are kept for 30 days, longer than any source repeats a delivery.
//
//	SQS          the message attribute idempotency_key, or the deduplication id
//	             that the sender gave to a FIFO queue, or the message id
//	SNS          the message attribute idempotency_key, or the message id
//	EventBridge  the event id
//	S3           bucket, key, version (or ETag) and line number of the row
//	a call       its idempotency_key, or Lambda's request id, and the position
//
// A record with the type lead.upsert creates a lead, or updates the one with its
// e-mail address. It has no key: a second delivery sets the same fields again.
//
// # Nothing lost
//
// A record is done when its lead exists, or when it can never become a lead and
// is in the dead-letter queue (DLQ) with the reason. After a transient error (a
// busy database, a panic) it is reported as failed. SQS and Lambda then deliver
// it again, and after too many failures they move it to a queue of their own.
//
// The DLQ is a FIFO queue, and a rejected record has the same deduplication id
// in all its deliveries. If the function crashes after it has sent a record to
// the DLQ, SQS delivers the record again, and the DLQ drops the second copy. A
// FIFO queue remembers an id for five minutes, which is longer than the
// function's timeout and the visibility timeout of the ingest queue.
//
// # Files
//
// A file can be too large for one invocation. The invocation for an uploaded
// file therefore only splits it: it sends the rows to the ingest queue, 98 in a
// message. After 1,000 messages it sends one more message, which tells the next
// invocation where to continue. A file of 250,000 rows takes three invocations
// and becomes 2,552 messages with rows.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/queue"
)

// keyTTL is how long an idempotency key is kept. A message lives at most 14 days
// in a queue and another 14 days in a dead-letter queue; SNS retries for 23 days.
const keyTTL = 30 * 24 * time.Hour

const (
	// answerMargin is the time that is left for the answer when all other work
	// must end.
	answerMargin = 300 * time.Millisecond

	// dlqMargin is the time before that for sending rejected records to the DLQ.
	// No leads are created and no files are read in it.
	dlqMargin = 2700 * time.Millisecond
)

// Ingester creates leads from the events of other services. It is safe for
// concurrent use.
type Ingester struct {
	Tenant      lead.Tenant // of all leads; an event cannot choose another
	Leads       Store
	Queue       queue.Queue // the function's own source, for the rows of files
	DeadLetters queue.Queue // FIFO
	Files       Files
	Log         *slog.Logger
}

// Store creates and upserts leads. Table of package dynamo implements it.
type Store interface {
	CreateMany(context.Context, lead.Tenant, []lead.CreateRequest) []lead.CreateResult
	Upsert(context.Context, lead.Tenant, []lead.Change, lead.Precondition) (l lead.Lead, created bool, err error)
}

// Invoke handles one invocation of the function. It implements lambda.Handler.
//
// The answer lists the failed messages of an SQS event and the result for each
// lead of a call; for other events it is empty. The type of an error is an error
// code of the API.
func (in *Ingester) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	e, err := parseEvent(payload)
	if err != nil {
		return nil, lambdaError(err)
	}
	ctx, cancel := withMargin(ctx, answerMargin)
	defer cancel()
	v := &invocation{Ingester: in}
	answer, err := e.handle(ctx, v)
	s := v.stats
	in.Log.LogAttrs(ctx, slog.LevelInfo, "event handled",
		slog.String("kind", e.kind()), slog.Int("created", s.created), slog.Int("updated", s.updated), slog.Int("replayed", s.replayed),
		slog.Int("rejected", s.rejected), slog.Int("failed", s.failed), slog.Int("queued", s.queued),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000))
	if err != nil {
		in.Log.LogAttrs(ctx, slog.LevelError, "event failed", slog.String("kind", e.kind()), slog.String("error", err.Error()))
		return nil, lambdaError(err)
	}
	return answer, nil
}

// event is the payload of an invocation.
type event interface {
	kind() string
	// handle creates the leads of the event and returns the function's answer.
	handle(context.Context, *invocation) ([]byte, error)
}

// invocation is one invocation of the function.
type invocation struct {
	*Ingester
	stats stats
}

// stats counts the records of an invocation, for the log.
type stats struct{ created, updated, replayed, rejected, failed, queued int }

// logFailure counts and logs a record that must be delivered again.
func (v *invocation) logFailure(ctx context.Context, origin string, err error) {
	v.stats.failed++
	v.Log.LogAttrs(ctx, slog.LevelError, "record failed", slog.String("origin", origin), slog.String("error", err.Error()))
}

// withMargin returns a context that ends some time before the deadline of ctx.
func withMargin(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// lambdaError returns the error that Lambda reports. Its type is the API's code,
// so that a state machine can distinguish errors.
func lambdaError(err error) error {
	code, message := api.Describe(err)
	return messages.InvokeResponse_Error{Type: code, Message: message}
}

// errRetry is the error of an event with records that failed with a transient
// error. Lambda delivers the event again.
var errRetry = &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("some records failed with a transient error")}

func panicError(p any) error { return fmt.Errorf("panic: %v", p) }
