package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/queue"
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
		Queue:       queue.New(queues, os.Getenv("LEADS_QUEUE_URL")),
		DeadLetters: queue.New(queues, os.Getenv("LEADS_DEAD_LETTERS_URL")),
		Files:       &s3Files{files},
		Log:         log,
	}, nil
}

type s3Files struct{ client *s3.Client }

// Open implements [Files].
func (s *s3Files) Open(ctx context.Context, f File, offset int64) (content io.ReadCloser, mapping string, err error) {
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
			return nil, "", fmt.Errorf("%w: %w", ErrFileGone, err)
		case "InvalidRange": // the offset is the end of the file
			return io.NopCloser(strings.NewReader("")), "", nil
		}
	}
	if err != nil {
		return nil, "", err
	}
	return out.Body, out.Metadata[mappingMetadata], nil
}

// Put implements [Files].
func (s *s3Files) Put(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)})
	return err
}
