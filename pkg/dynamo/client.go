package dynamo

import (
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/lead"
)

const (
	// retryTimeout is how long an operation is retried when its context has no
	// earlier deadline. It must be shorter than an era of nonces (see
	// update.go) and than the validity of a signature, so that no late attempt
	// can take effect twice.
	retryTimeout = 10 * time.Second

	// attemptTimeout limits one HTTP request. If a connection broke while the
	// function was frozen, enough time is left to try another connection.
	attemptTimeout = 2 * time.Second

	// baseDelay and maxDelay limit the random delay before a retry. The limit
	// doubles from baseDelay with each retry.
	baseDelay = 20 * time.Millisecond
	maxDelay  = 500 * time.Millisecond

	// maxIdleConnections is large because all requests go to one host.
	maxIdleConnections = 256
)

// Open returns the table for a Lambda function. It reads the name of the table
// from LEADS_TABLE, and the region, credentials and endpoint as described in
// [awsenv.Config]. DYNAMODB_ENDPOINT, which the template sets for sam local,
// takes precedence over other endpoints. Filters are those of [FiltersFromEnv].
// LEADS_EPOCH sets VersionOffset, see [awsenv.VersionOffset]. Open sends no
// request.
func Open() *Table {
	client := dynamodb.NewFromConfig(awsenv.Config("DYNAMODB"), Configure, func(o *dynamodb.Options) {
		if url := os.Getenv("DYNAMODB_ENDPOINT"); url != "" {
			o.BaseEndpoint = &url
		}
	})
	t := New(client, os.Getenv("LEADS_TABLE"))
	t.VersionOffset = awsenv.VersionOffset()
	t.Filters = FiltersFromEnv()
	return t
}

// FiltersFromEnv returns the filters that LEADS_FILTERS names, separated by
// commas. If it is not set, all of [lead.FilterNames] are on.
func FiltersFromEnv() []string {
	filters, ok := os.LookupEnv("LEADS_FILTERS")
	if !ok {
		return lead.FilterNames[:]
	}
	return strings.FieldsFunc(filters, func(r rune) bool { return r == ',' })
}

// Configure sets the timeouts and the retryer that a [Table] expects. Pass it to
// dynamodb.New or dynamodb.NewFromConfig for every client that is given to
// [New].
func Configure(o *dynamodb.Options) {
	if client, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
		o.HTTPClient = client.WithTimeout(attemptTimeout).WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = maxIdleConnections
			t.MaxIdleConnsPerHost = maxIdleConnections
		})
	}
	o.Retryer = newRetryer()
	o.APIOptions = append(o.APIOptions, limitTime)
	o.HTTPSignerV4 = fixedTimeSigner{o.HTTPSignerV4}
	o.RetryMaxAttempts = 0 // a limit from the configuration would wrap the retryer
}

// limitTime limits the time of every call, with its retries, also where the caller
// has no deadline.
func limitTime(stack *middleware.Stack) error {
	limit := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		ctx, cancel := withRetryDeadline(ctx)
		defer cancel()
		return next.HandleInitialize(ctx, in)
	}
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("LimitTime", limit), middleware.Before)
}

// newRetryer returns a retryer that only the deadline of the context stops. The
// SDK would stop after a few attempts, or after many failures of the client.
func newRetryer() aws.RetryerV2 {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = math.MaxInt32
		o.RateLimiter = ratelimit.None
		o.BaseDelay = baseDelay
		o.MaxBackoff = maxDelay
		o.Retryables = retryables
	})
}

// retryables decide which errors are retried: those that the SDK retries by
// default, and those in isTransient.
var retryables = append(slices.Clone(retry.DefaultRetryables), retry.IsErrorRetryableFunc(isTransient))

// isTransient recognizes transient errors that the SDK does not retry by itself:
// an incomplete response, a write that conflicted with a transaction, and a
// transaction that was cancelled because of a conflict or throttling.
func isTransient(err error) aws.Ternary {
	var conflict *types.TransactionConflictException
	var incomplete *smithy.DeserializationError
	var cancelled *types.TransactionCanceledException
	switch {
	case errors.As(err, &cancelled):
		return aws.BoolTernary(!slices.ContainsFunc(cancelled.CancellationReasons, isPermanent))
	case errors.As(err, &conflict), errors.As(err, &incomplete):
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// withoutRetries is an option for operations that this package retries itself.
func withoutRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// withRetryDeadline returns a context that ends after retryTimeout, or earlier
// if ctx does.
func withRetryDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, retryTimeout)
}

// waitBeforeRetry waits as long as the SDK would wait before it retries after
// this attempt, counted from 1. It returns the error of ctx if that ends first.
func (t *Table) waitBeforeRetry(ctx context.Context, attempt int, cause error) error {
	delay, err := t.client.Options().Retryer.RetryDelay(attempt, cause)
	if err != nil {
		return err
	}
	return sleepContext(ctx, delay)
}

// sleepContext waits for d. It returns the error of ctx if that ends first.
func sleepContext(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
