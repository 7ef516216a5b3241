package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// stack sends events to the deployed stack and reads its changes from the queue
// of a consumer.
type stack struct {
	outputs map[string]string
	changes string // URL of the consumer's queue
	sqs     *sqs.Client
	sns     *sns.Client
	s3      *s3.Client
	bus     *eventbridge.Client
	lambda  *lambda.Client
}

func newStack(config aws.Config, outputs map[string]string, changes string) *stack {
	return &stack{
		outputs: outputs,
		changes: changes,
		sqs:     sqs.NewFromConfig(config),
		sns:     sns.NewFromConfig(config),
		s3:      s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }),
		bus:     eventbridge.NewFromConfig(config),
		lambda:  lambda.NewFromConfig(config),
	}
}

// name returns an output of the stack.
func (s *stack) name(output string) *string { return aws.String(s.outputs[output]) }

// send sends an event. It returns the answer of a direct call.
func (s *stack) send(ctx context.Context, kind kind, text string) (answer string, err error) {
	switch kind {
	case sqsMessage:
		_, err = s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: s.name("IngestQueueUrl"), MessageBody: &text})
	case snsNotification:
		_, err = s.sns.Publish(ctx, &sns.PublishInput{TopicArn: s.name("IngestTopicArn"), Message: &text})
	case eventBridgeEvent:
		_, err = s.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
			EventBusName: s.name("BusName"), Source: aws.String("demo"), DetailType: aws.String("lead.create"), Detail: &text,
		}}})
	case s3File:
		_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.name("ImportBucketName"), Key: aws.String("demo/March 2026.csv"), Body: strings.NewReader(text),
		})
	default:
		return s.invoke(ctx, text)
	}
	return "", err
}

func (s *stack) invoke(ctx context.Context, payload string) (answer string, err error) {
	out, err := s.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: s.name("IngestFunction"), Payload: []byte(payload)})
	if err != nil {
		return "", err
	}
	if out.FunctionError != nil {
		return "", errors.New(string(out.Payload))
	}
	return string(out.Payload), nil
}

// receiveChanges returns the published changes since the call before. It may
// return one twice.
func (s *stack) receiveChanges(ctx context.Context) (changes []change, err error) {
	messages, err := s.receive(ctx, &s.changes)
	for _, m := range messages {
		var c change
		if err := json.Unmarshal([]byte(*m.Body), &c); err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, err
}

// receiveRejected returns the rejected records since the call before.
func (s *stack) receiveRejected(ctx context.Context) (records []rejected, err error) {
	messages, err := s.receive(ctx, s.name("DeadLettersUrl"))
	for _, m := range messages {
		attribute := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
		records = append(records, rejected{*m.Body, attribute("origin"), attribute("code"), attribute("reason")})
	}
	return records, err
}

// receive takes all messages from a queue.
func (s *stack) receive(ctx context.Context, url *string) (messages []sqstypes.Message, err error) {
	for {
		out, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(out.Messages) == 0 {
			return messages, err
		}
		for _, m := range out.Messages {
			if _, err := s.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return nil, err
			}
			messages = append(messages, m)
		}
	}
}
