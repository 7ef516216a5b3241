package ingest

import (
	"bytes"
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

// Open returns the ingester for the environment of a Lambda function.
// LEADS_ACCOUNT and LEADS_MODE are the tenant of all leads, LEADS_QUEUE_URL and
// LEADS_DEAD_LETTERS_URL the URLs of the queues; [awsenv.Config] reads the other
// variables. Open sends no request.
func Open(leads Store, log *slog.Logger) (*Ingester, error) {
	tenant := lead.Tenant{Account: os.Getenv("LEADS_ACCOUNT"), Mode: lead.Mode(os.Getenv("LEADS_MODE"))}
	if !lead.ValidAccount(tenant.Account) || !tenant.Mode.Valid() {
		return nil, errors.New("set LEADS_ACCOUNT to the name of an account and LEADS_MODE to test or live: new leads belong to them")
	}
	queues := sqs.NewFromConfig(awsenv.Config("SQS"))
	files := s3.NewFromConfig(awsenv.Config("S3"), func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // only AWS resolves the host name of a bucket
		// A checksum covers a whole object, and a read may begin in its middle.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	return &Ingester{
		Tenant:      tenant,
		Leads:       leads,
		Queue:       &sqsQueue{queues, os.Getenv("LEADS_QUEUE_URL")},
		DeadLetters: &sqsQueue{queues, os.Getenv("LEADS_DEAD_LETTERS_URL")},
		Files:       &s3Files{files},
		Log:         log,
	}, nil
}

const (
	// messagesPerRequest is the most that SQS accepts in one request.
	messagesPerRequest = 10

	// bytesPerRequest is less than the 1 MB that SQS accepts: emulators of SQS
	// accept only 256 KB, as SQS did before. A longer message is sent alone.
	bytesPerRequest = 256 << 10
)

type sqsQueue struct {
	client *sqs.Client
	url    string
}

// Send implements [Queue].
func (q *sqsQueue) Send(ctx context.Context, messages []Message) error {
	for len(messages) > 0 {
		n, size := 0, 0
		for n < min(len(messages), messagesPerRequest) && (n == 0 || size+len(messages[n].Body) <= bytesPerRequest) {
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

type s3Files struct{ client *s3.Client }

// Open implements [Files].
func (s *s3Files) Open(ctx context.Context, f File, offset int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &f.Bucket, Key: &f.Key}
	if f.ETag != "" {
		in.IfMatch = aws.String(`"` + f.ETag + `"`)
	}
	if f.Version != "" {
		in.VersionId = &f.Version
	}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.client.GetObject(ctx, in)
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) {
		switch apiErr.ErrorCode() {
		case "NoSuchKey", "NoSuchVersion", "NotFound", "PreconditionFailed":
			return nil, fmt.Errorf("%w: %w", ErrFileGone, err)
		case "InvalidRange": // the offset is the end of the file
			return io.NopCloser(strings.NewReader("")), nil
		}
	}
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Put implements [Files].
func (s *s3Files) Put(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)})
	return err
}
