package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
)

// sqsEvent is a batch of messages of one SQS queue, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
type sqsEvent []sqsMessage

type sqsMessage struct {
	events.SQSMessage
	Body json.RawMessage `json:"body"` // a JSON string, see unquote
}

func parseSQS(list json.RawMessage) (event, error) {
	var e sqsEvent
	if err := json.Unmarshal(list, &e); err != nil {
		return nil, errUnexpected("a record is not a message as SQS sends it")
	}
	for _, m := range e {
		if m.MessageId == "" || !isString(m.Body) {
			return nil, errUnexpected("a message has no messageId, or its body is not a string")
		}
	}
	return e, nil
}

func isString(value json.RawMessage) bool { return len(value) > 0 && value[0] == '"' }

func (sqsEvent) kind() string { return "sqs" }

// handle reports the messages that must be delivered again. A message of a FIFO
// queue must wait for the messages before it in its group: after the first
// failure in a group, the rest of the group is reported as failed too.
func (e sqsEvent) handle(ctx context.Context, v *invocation) ([]byte, error) {
	failures := []events.SQSBatchItemFailure{} // not nil, which would be null in JSON
	fail := func(m sqsMessage) {
		failures = append(failures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
	}
	if strings.HasSuffix(e[0].EventSourceARN, ".fifo") {
		failedGroups := map[string]bool{}
		for i, m := range e {
			group := m.Attributes["MessageGroupId"]
			if failedGroups[group] || !v.handleMessages(ctx, e[i:i+1])[0] {
				failedGroups[group] = true
				fail(m)
			}
		}
	} else {
		for i, ok := range v.handleMessages(ctx, e) {
			if !ok {
				fail(e[i])
			}
		}
	}
	return json.Marshal(events.SQSEventResponse{BatchItemFailures: failures})
}

// handleMessages creates the leads of several messages together. It reports for
// each message whether it is done; the others must be delivered again.
func (v *invocation) handleMessages(ctx context.Context, messages []sqsMessage) []bool {
	done := make([]bool, len(messages))
	var records []record
	var indexes []int // of the message of each record
	for i, m := range messages {
		some, err := v.openMessage(ctx, m)
		if err != nil {
			v.logFailure(ctx, "SQS message "+m.MessageId, err)
			continue
		}
		done[i] = true
		for _, r := range some {
			records = append(records, r)
			indexes = append(indexes, i)
		}
	}
	for j, result := range v.createLeads(ctx, records) {
		if result.Err != nil && !isPermanent(result.Err) {
			done[indexes[j]] = false
		}
	}
	return done
}

// record returns the message as one record.
func (m *sqsMessage) record() record {
	r := newRecord("sqs", m.MessageId, "SQS message "+m.MessageId+" of "+m.EventSourceARN, unquote(m.Body))
	attributes := map[string]string{}
	for name, a := range m.MessageAttributes {
		attributes[name] = aws.ToString(a.StringValue)
	}
	deduplicationID := m.Attributes["MessageDeduplicationId"]
	if !r.setKeyFrom(attributes) && deduplicationID != "" && deduplicationID != contentID(r.body) {
		r.key.Key = "deduplication/" + m.EventSourceARN + "/" + m.Attributes["MessageGroupId"] + "/" + deduplicationID
	}
	r.setTypeFrom(attributes)
	return r
}

// contentID returns the deduplication id that a FIFO queue with
// ContentBasedDeduplication computes from the body if the sender gave none. It is
// not an idempotency key: when the queue accepts the same body again after five
// minutes, that is another message and another lead.
func contentID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
