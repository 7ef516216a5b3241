package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// deadLetterQueues are the queues of the stack whose messages the commands show,
// by their names in template.yaml. Each has the outputs NameUrl and NameArn.
var deadLetterQueues = []string{"DeadLetters", "UndeliveredMessages", "Undelivered", "Unpublished"}

// hideSeconds is how long a message that a command has read is hidden from other
// readers, unless the command shows it again at its end.
const hideSeconds = 120

// deadLetter is a message of a dead-letter queue.
type deadLetter struct {
	types.Message
	queue string // name in template.yaml
}

func (l deadLetter) attribute(name string) string {
	return aws.ToString(l.MessageAttributes[name].StringValue)
}

// letters reads the dead-letter queues of a stack and retries their messages.
type letters struct {
	outputs map[string]string // of the stack
	sqs     *sqs.Client
	lambda  *lambda.Client
	read    []deadLetter // hidden from other readers
}

// withLetters defines the flag -stack and returns a function that reads all dead
// letters of the stack and calls run. The letters that run does not delete are
// visible again afterwards.
func withLetters(flags *flag.FlagSet, run func(ctx context.Context, l *letters, arg string) error) runFunc {
	stack := flags.String("stack", "", "the `STACK` on AWS, such as leads-prod")
	return func(ctx context.Context, args []string) (err error) {
		settings, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("the configuration for AWS cannot be read: %w", err)
		}
		l := &letters{outputs: map[string]string{}, sqs: sqs.NewFromConfig(settings), lambda: lambda.NewFromConfig(settings)}
		out, err := cloudformation.NewFromConfig(settings).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: stack})
		if err != nil {
			return fmt.Errorf("the stack %s cannot be read: %w", *stack, err)
		}
		for _, o := range out.Stacks[0].Outputs {
			l.outputs[*o.OutputKey] = *o.OutputValue
		}
		defer func() { err = errors.Join(err, l.showAgain(context.WithoutCancel(ctx))) }()
		if err := l.readAll(ctx); err != nil {
			return err
		}
		if len(args) == 0 {
			return run(ctx, l, "")
		}
		return run(ctx, l, args[0])
	}
}

// readAll reads the messages of all queues. SQS may leave out some of them.
func (l *letters) readAll(ctx context.Context) error {
	for _, queue := range deadLetterQueues {
		url := l.outputs[queue+"Url"]
		if url == "" {
			return fmt.Errorf("the stack has no output %sUrl: deploy this version first", queue)
		}
		for {
			out, err := l.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
				QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: hideSeconds,
				MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			})
			if err != nil {
				return err
			}
			if len(out.Messages) == 0 {
				break
			}
			for _, m := range out.Messages {
				l.read = append(l.read, deadLetter{m, queue})
			}
		}
	}
	return nil
}

// showAgain makes the messages that are still in the queues visible to others.
func (l *letters) showAgain(ctx context.Context) error {
	var failed error
	for _, m := range l.read {
		_, err := l.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: aws.String(l.outputs[m.queue+"Url"]), ReceiptHandle: m.ReceiptHandle,
		})
		failed = cmp.Or(failed, err)
	}
	return failed
}

// find returns the letter with an id, or all letters that can be retried.
func (l *letters) find(id string) ([]deadLetter, error) {
	if id == "all" {
		return slices.DeleteFunc(slices.Clone(l.read), func(m deadLetter) bool { return m.queue == "Unpublished" }), nil
	}
	for _, m := range l.read {
		if *m.MessageId == id {
			return []deadLetter{m}, nil
		}
	}
	return nil, fmt.Errorf("there is no dead letter %s, see leads letters list; one that another command has just read is hidden for %d seconds", id, hideSeconds)
}

func (l *letters) delete(ctx context.Context, m deadLetter) error {
	l.read = slices.DeleteFunc(l.read, func(other deadLetter) bool { return *other.MessageId == *m.MessageId })
	_, err := l.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(l.outputs[m.queue+"Url"]), ReceiptHandle: m.ReceiptHandle})
	return err
}

func listLetters(flags *flag.FlagSet) runFunc {
	out := newList(flags, "ID", "QUEUE", "REASON")
	return withLetters(flags, func(_ context.Context, l *letters, _ string) error {
		for _, m := range l.read {
			reason := cmp.Or(m.attribute("reason"), "see the log of the function")
			err := out.add(map[string]any{"id": m.MessageId, "queue": m.queue, "reason": reason}, *m.MessageId, m.queue, reason)
			if err != nil {
				return err
			}
		}
		if len(l.read) == 0 {
			fmt.Fprintln(os.Stderr, "There are no dead letters.")
		}
		return out.end()
	})
}

func showLetter(flags *flag.FlagSet) runFunc {
	return withLetters(flags, func(_ context.Context, l *letters, id string) error {
		found, err := l.find(id)
		if err != nil {
			return err
		}
		for _, m := range found {
			fmt.Fprintf(os.Stderr, "Queue %s, received %s times.\n", m.queue, m.Attributes["ApproximateReceiveCount"])
			for name := range m.MessageAttributes {
				fmt.Fprintf(os.Stderr, "%s: %s\n", name, m.attribute(name))
			}
			fmt.Println(*m.Body)
		}
		return nil
	})
}

func dropLetter(flags *flag.FlagSet) runFunc {
	return withLetters(flags, func(ctx context.Context, l *letters, id string) error {
		found, err := l.find(id)
		for _, m := range found {
			err = errors.Join(err, l.delete(ctx, m))
		}
		if err == nil {
			fmt.Fprintf(os.Stderr, "%d dead letters are deleted.\n", len(found))
		}
		return err
	})
}

func retryLetter(flags *flag.FlagSet) runFunc {
	file := flags.String("body", "", "send this `FILE` as the corrected body")
	return withLetters(flags, func(ctx context.Context, l *letters, id string) error {
		found, err := l.find(id)
		if err != nil {
			return err
		}
		for _, m := range found {
			if *file != "" {
				if m.queue != "DeadLetters" || id == "all" {
					return usageError("-body is only for one rejected record, in the queue DeadLetters")
				}
				body, err := os.ReadFile(*file)
				if err != nil {
					return err
				}
				m.Body = aws.String(string(body))
			}
			if err := l.retry(ctx, m); err != nil {
				return fmt.Errorf("%s: %w", *m.MessageId, err)
			}
		}
		fmt.Fprintf(os.Stderr, "%d dead letters were sent to the function and deleted. A record that is invalid again is a new dead letter.\n", len(found))
		return nil
	})
}

// retry calls the function IngestLeads with the event that failed, and deletes the
// letter. The idempotency key of each record is that of the first delivery, so
// nothing is created twice.
func (l *letters) retry(ctx context.Context, m deadLetter) error {
	event, err := l.event(m)
	if err != nil {
		return err
	}
	out, err := l.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(l.outputs["IngestFunction"]), Payload: event})
	if err != nil {
		return err
	}
	var answer struct {
		Failures []any `json:"batchItemFailures"`
	}
	if out.FunctionError != nil || json.Unmarshal(out.Payload, &answer) == nil && len(answer.Failures) > 0 {
		return fmt.Errorf("it failed again and is still in the queue, see the log of the function: %s", out.Payload)
	}
	return l.delete(ctx, m)
}

// event returns the event for the function.
func (l *letters) event(m deadLetter) ([]byte, error) {
	switch m.queue {
	case "Unpublished":
		return nil, errors.New("a change is published again as docs/events.md describes")
	case "Undelivered":
		return undeliveredEvent([]byte(*m.Body))
	}
	// The function reads a record like a message of the ingest queue.
	id := *m.MessageId
	attributes := map[string]any{}
	for name, a := range m.MessageAttributes {
		attributes[name] = map[string]any{"stringValue": a.StringValue, "dataType": a.DataType}
	}
	if m.queue == "DeadLetters" {
		id = cmp.Or(m.Attributes["MessageDeduplicationId"], id) // the same for each copy of a record
	}
	return json.Marshal(map[string]any{"Records": []any{map[string]any{
		"messageId": id, "body": m.Body, "messageAttributes": attributes, "attributes": map[string]string{},
		"eventSource": "aws:sqs", "eventSourceARN": l.outputs["IngestQueueArn"],
	}}})
}

// undeliveredEvent returns the event of a failed delivery: what Lambda reports
// after an asynchronous call, a notification of SNS, or an event of EventBridge.
func undeliveredEvent(body []byte) ([]byte, error) {
	var delivery struct {
		RequestPayload json.RawMessage `json:"requestPayload"`
		DetailType     string          `json:"detail-type"`
		Type           string
	}
	if err := json.Unmarshal(body, &delivery); err != nil {
		return nil, fmt.Errorf("its body is not JSON: %w", err)
	}
	switch {
	case delivery.RequestPayload != nil:
		return delivery.RequestPayload, nil
	case delivery.DetailType != "":
		return body, nil
	case delivery.Type == "Notification":
		return fmt.Appendf(nil, `{"Records":[{"EventSource":"aws:sns","Sns":%s}]}`, body), nil
	}
	return nil, errors.New("its body is no delivery of Lambda, EventBridge or SNS")
}
