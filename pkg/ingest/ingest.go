// Package ingest makes leads of what other AWS services send: SQS messages,
// EventBridge events, SNS notifications, files in S3, and calls with many
// leads. It is the function ingest-leads.
//
//	Invoke       one delivery                                  ingest.go
//	parse        whose form tells its kind                     envelope.go
//	messages     SQS: partial answers, groups of FIFO queues   sqs.go
//	walk         S3: a file becomes messages of rows           s3.go
//	openContent  which come back, and are opened               content.go
//	admit        records become leads, each once               admit.go
//	bury         what can never become one is a dead letter    deadletter.go
//
// # Exactly once
//
// Every source delivers at least once, now and then twice, in any order. So
// each record has a name that its deliveries share, and the lead is made
// together with a note of that name ([lead.IdempotencyKey]), which outlives every
// redelivery:
//
//	SQS          the sender's attribute idempotency_key, or the deduplication
//	             id that the sender gave a FIFO queue, or the message id
//	EventBridge  the event id
//	SNS          the sender's attribute idempotency_key, or the message id
//	S3           bucket, key, version (or ETag), and the line of the row
//	a call       its idempotency_key, or Lambda's request id, and the place
//
// # Nothing lost
//
// A record leaves its source when its lead is there, or when the queue of dead
// letters has it together with the reason. A fault that passes (a busy
// database, a panic) leaves it where it is: SQS and Lambda deliver it again, and
// in the end put it aside by themselves.
//
// Dead letters go to a FIFO queue under an id that the record's deliveries share.
// A crash between sending one and answering makes SQS deliver the record again,
// and the queue drops the second letter (it knows an id for five minutes; the
// function's time-out and its own queue's visibility time-out are shorter).
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
)

// Keep is how long a record's name is remembered. A message lives at most 14
// days in a queue and 14 more in one of dead letters, and SNS tries 23 days.
const Keep = 30 * 24 * time.Hour

const (
	// margin is the time kept for dead letters and the answer before Lambda
	// ends the function, and answerMargin what of it is the answer's.
	margin       = 3 * time.Second
	answerMargin = 300 * time.Millisecond
)

// Ingester makes leads of deliveries. It is safe for concurrent use.
type Ingester struct {
	Tenant      lead.Tenant // of all leads made; what is delivered has no say in it
	Leads       Store
	Queue       Queue // where rows of files go, to come back as deliveries
	DeadLetters Queue // FIFO
	Files       Files
	Log         *slog.Logger
}

// Store makes leads, as dynamo.Table does.
type Store interface {
	CreateMany(context.Context, lead.Tenant, []lead.CreateRequest) []lead.CreateResult
}

// Queue is a queue of SQS.
type Queue interface {
	// Send sends some messages. After an error some may have been sent.
	Send(context.Context, []Message) error
}

// Message is a message of SQS.
type Message struct {
	Body       string
	Attributes map[string]string
	ID         string // deduplication id, for a FIFO queue
}

// Invoke answers one invocation of the function. It is a lambda.Handler.
//
// What it returns depends on the kind of delivery: the failed messages of SQS,
// one result for each lead of a call, nothing else. An error's type is one of
// the API's codes.
func (in *Ingester) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	d, err := parse(payload)
	if err != nil {
		return nil, failure(err)
	}
	work := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel, cancelWork context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
		work, cancelWork = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancelWork()
	}
	t := &tally{}
	answer, err := d.handle(&delivery{in, ctx, work, t})
	in.Log.LogAttrs(ctx, slog.LevelInfo, "delivery",
		slog.String("kind", d.kind()), slog.Int("made", t.made), slog.Int("replayed", t.replayed),
		slog.Int("refused", t.refused), slog.Int("failed", t.failed), slog.Int("queued", t.queued),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000))
	if err != nil {
		in.Log.LogAttrs(ctx, slog.LevelError, "delivery failed", slog.String("kind", d.kind()), slog.String("error", err.Error()))
		return nil, failure(err)
	}
	return answer, nil
}

// envelope is what was delivered.
type envelope interface {
	kind() string
	handle(*delivery) ([]byte, error)
}

// delivery is one invocation.
type delivery struct {
	*Ingester
	ctx  context.Context // until it is time to answer
	work context.Context // until it is time for dead letters
	*tally
}

// tally counts what became of records, for the log.
type tally struct{ made, replayed, refused, failed, queued int }

// failure returns an error as Lambda reports it: its type is our code, so that
// a state machine can tell errors apart.
func failure(err error) error {
	code, message := api.Describe(err)
	return messages.InvokeResponse_Error{Type: code, Message: message}
}

// errFailed is the error of a delivery some of whose records wait for a fault to
// pass. Lambda delivers it again.
var errFailed = &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("some records could not be taken in yet")}

// panicked makes an error of a panic.
func panicked(p any) error { return fmt.Errorf("panic: %v", p) }
