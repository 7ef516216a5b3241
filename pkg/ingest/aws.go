package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/lead"
)

// Open returns the ingester that the environment of a Lambda function names:
// LEADS_ACCOUNT and LEADS_MODE say whose the leads are, LEADS_QUEUE_URL and
// LEADS_DEAD_LETTERS_URL where the queues are; see [awsenv.Config] for the rest. It sends
// nothing.
func Open(leads Store, log *slog.Logger) (*Ingester, error) {
	tenant := lead.Tenant{Account: os.Getenv("LEADS_ACCOUNT"), Mode: lead.Mode(os.Getenv("LEADS_MODE"))}
	if !lead.ValidAccount(tenant.Account) || !tenant.Mode.Valid() {
		return nil, errors.New("set LEADS_ACCOUNT to an account's name and LEADS_MODE to test or live: they say whose the leads are")
	}
	queues := sqs.NewFromConfig(awsenv.Config("SQS"))
	files := s3.NewFromConfig(awsenv.Config("S3"), func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // only AWS resolves the host name of a bucket
		// A checksum covers a whole object, and a read may begin in its middle.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return &Ingester{
		Tenant:      tenant,
		Leads:       leads,
		Queue:       &sqsQueue{queues, os.Getenv("LEADS_QUEUE_URL"), false},
		DeadLetters: &sqsQueue{queues, os.Getenv("LEADS_DEAD_LETTERS_URL"), true},
		Files:       &s3Files{files},
		Log:         log,
	}, nil
}

type sqsQueue struct {
	client *sqs.Client
	url    string
	fifo   bool
}

// Send implements [Queue]: ten messages a request.
func (q *sqsQueue) Send(ctx context.Context, messages []Message) error {
	for len(messages) > 0 {
		n, size := 0, 0
		for n < min(len(messages), messagesPerBatch) && (n == 0 || size+len(messages[n].Body) <= bytesPerRequest) {
			size += len(messages[n].Body)
			n++
		}
		if err := q.send(ctx, messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

func (q *sqsQueue) send(ctx context.Context, messages []Message) error {
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
		if q.fifo {
			// A group of its own: no letter has to wait for another.
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
		return fmt.Errorf("SQS refused %d of %d messages, one for %s: %s", len(out.Failed), len(entries), aws.ToString(f.Code), aws.ToString(f.Message))
	}
	return nil
}

type s3Files struct{ client *s3.Client }

// Open implements [Files].
func (s *s3Files) Open(ctx context.Context, f File, offset int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &f.Bucket, Key: &f.Key, IfMatch: aws.String(`"` + f.ETag + `"`)}
	if f.Version != "" {
		in.VersionId = &f.Version
	}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.client.GetObject(ctx, in)
	var refused smithy.APIError
	if errors.As(err, &refused) {
		switch refused.ErrorCode() {
		case "NoSuchKey", "NoSuchVersion", "NotFound", "PreconditionFailed":
			return nil, &GoneError{err}
		case "InvalidRange": // the end was reached
			return io.NopCloser(strings.NewReader("")), nil
		}
	}
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}
