// Package queue sends messages to SQS queues: leads to create, and rejected
// records for the dead-letter queue (DLQ).
package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Queue is an SQS queue.
type Queue interface {
	// Send sends messages. After an error, some of them may have been sent.
	Send(context.Context, []Message) error
}

// Message is an SQS message.
type Message struct {
	Body       string
	Attributes map[string]string
	ID         string // deduplication id, only for a FIFO queue
}

const (
	// MessagesPerRequest is the most that SQS accepts in one request.
	MessagesPerRequest = 10

	// bytesPerRequest is less than the 1 MB that SQS accepts: emulators of SQS
	// accept only 256 KB, as SQS did before. A longer message is sent alone.
	bytesPerRequest = 256 << 10
)

// New returns the queue with this URL.
func New(client *sqs.Client, url string) Queue { return &sqsQueue{client, url} }

type sqsQueue struct {
	client *sqs.Client
	url    string
}

// Send implements [Queue].
func (q *sqsQueue) Send(ctx context.Context, messages []Message) error {
	for len(messages) > 0 {
		n, size := 0, 0
		for n < min(len(messages), MessagesPerRequest) && (n == 0 || size+len(messages[n].Body) <= bytesPerRequest) {
			size += len(messages[n].Body)
			n++
		}
		if err := q.sendBatch(ctx, messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

func (q *sqsQueue) sendBatch(ctx context.Context, messages []Message) error {
	var entries []types.SendMessageBatchRequestEntry
	for i, m := range messages {
		e := types.SendMessageBatchRequestEntry{
			Id:                aws.String(strconv.Itoa(i)),
			MessageBody:       &m.Body,
			MessageAttributes: map[string]types.MessageAttributeValue{},
		}
		for name, value := range m.Attributes {
			e.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
		if m.ID != "" {
			// Each message has a group of its own, so that none waits for another.
			e.MessageGroupId, e.MessageDeduplicationId = &m.ID, &m.ID
		}
		entries = append(entries, e)
	}
	out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
	if err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		f := out.Failed[0]
		return fmt.Errorf("SQS refused %d of %d messages, the first with %s: %s", len(out.Failed), len(entries), aws.ToString(f.Code), aws.ToString(f.Message))
	}
	return nil
}
