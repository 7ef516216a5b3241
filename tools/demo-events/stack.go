package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/publish"
)

// stack is a deployed one.
type stack struct {
	outputs map[string]string
	table   *dynamo.Table
	sqs     *sqs.Client
	sns     *sns.Client
	s3      *s3.Client
	events  *eventbridge.Client
	lambda  *lambda.Client
	behind  string // queue behind the bus
}

// openStack connects to a stack and puts a queue of its own behind the bus.
func openStack(ctx context.Context, file string) (stage, func(), error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var list []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, nil, fmt.Errorf("%s is not what sam list stack-outputs --output json prints: %w", file, err)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &stack{
		outputs: map[string]string{}, sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg), events: eventbridge.NewFromConfig(cfg), lambda: lambda.NewFromConfig(cfg),
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL") != "" }),
	}
	for _, o := range list {
		s.outputs[o.OutputKey] = o.OutputValue
	}
	s.table = dynamo.New(dynamodb.NewFromConfig(cfg), s.outputs["TableName"])
	stop, err := s.listen(ctx)
	return s, stop, err
}

// listen puts a queue behind the bus, as docs/events.md tells a consumer to.
func (s *stack) listen(ctx context.Context) (stop func(), err error) {
	name := fmt.Sprintf("demo-events-%d", time.Now().UnixNano())
	made, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return nil, err
	}
	s.behind = aws.ToString(made.QueueUrl)
	attributes, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &s.behind, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		return nil, err
	}
	busName := aws.String(s.outputs["BusName"])
	rule, err := s.events.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &name, EventBusName: busName, EventPattern: aws.String(`{"source":["` + publish.Source + `"]}`),
	})
	if err != nil {
		return nil, err
	}
	arn := attributes.Attributes["QueueArn"]
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, arn, aws.ToString(rule.RuleArn))
	if _, err := s.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &s.behind, Attributes: map[string]string{"Policy": policy}}); err != nil {
		return nil, err
	}
	if _, err := s.events.PutTargets(ctx, &eventbridge.PutTargetsInput{
		Rule: &name, EventBusName: busName, Targets: []bus.Target{{Id: aws.String("queue"), Arn: &arn}},
	}); err != nil {
		return nil, err
	}
	return func() {
		// What stays behind goes with the emulator, or is seen in the console.
		ctx := context.WithoutCancel(ctx)
		s.removeFile(ctx)
		s.events.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &name, EventBusName: busName, Ids: []string{"queue"}})
		s.events.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &name, EventBusName: busName})
		s.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &s.behind})
	}, nil
}

// fileKey is the key of the file that is sent.
const fileKey = "demo/March 2026.csv"

// removeFile removes all versions of the file: a bucket goes only when it is
// empty.
func (s *stack) removeFile(ctx context.Context) {
	bucket := aws.String(s.outputs["ImportBucketName"])
	versions, err := s.s3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket, Prefix: aws.String(fileKey)})
	if err != nil {
		return
	}
	for _, v := range versions.Versions {
		s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: v.Key, VersionId: v.VersionId})
	}
}

func (s *stack) Send(ctx context.Context, kind, what string) (answer string, err error) {
	switch kind {
	case sqsMessage:
		_, err = s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(s.outputs["IngestQueueUrl"]), MessageBody: &what})
	case snsNotification:
		_, err = s.sns.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(s.outputs["IngestTopicArn"]), Message: &what})
	case busEvent:
		_, err = s.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bus.PutEventsRequestEntry{{
			EventBusName: aws.String(s.outputs["BusName"]), Source: aws.String("demo"), DetailType: aws.String("lead.create"), Detail: &what,
		}}})
	case csvFile:
		_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(s.outputs["ImportBucketName"]), Key: aws.String(fileKey), Body: strings.NewReader(what),
		})
	case directCall:
		var out *lambda.InvokeOutput
		out, err = s.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(s.outputs["IngestFunction"]), Payload: []byte(what)})
		if err == nil && out.FunctionError != nil {
			err = errors.New(string(out.Payload))
		} else if err == nil {
			answer = string(out.Payload)
		}
	}
	return answer, err
}

func (s *stack) Leads(ctx context.Context) (names []string, err error) {
	for l, err := range s.table.All(ctx, tenant) {
		if err != nil {
			return nil, err
		}
		names = append(names, fmt.Sprint(l.Values[0]))
	}
	return names, nil
}

func (s *stack) Changes(ctx context.Context) (all []change, err error) {
	messages, err := s.receive(ctx, s.behind)
	for _, m := range messages {
		var c change
		if err := json.Unmarshal([]byte(m.body), &c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, err
}

func (s *stack) DeadLetters(ctx context.Context) ([]letter, error) {
	return s.receive(ctx, s.outputs["DeadLettersUrl"])
}

// receive takes all there is off a queue.
func (s *stack) receive(ctx context.Context, url string) (all []letter, err error) {
	for {
		out, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(out.Messages) == 0 {
			return all, err
		}
		for _, m := range out.Messages {
			attribute := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
			all = append(all, letter{aws.ToString(m.Body), attribute("origin"), attribute("code"), attribute("reason")})
			if _, err := s.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return nil, err
			}
		}
	}
}
