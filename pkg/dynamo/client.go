package dynamo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/lead"
)

const (
	// patience is how long a call goes on trying when its context has no
	// nearer deadline. It is shorter than an era of nonces (see update.go)
	// and than a signature's life, so that no late attempt is ever obeyed.
	patience = 10 * time.Second

	// attemptTimeout bounds one HTTP exchange: a connection that died while
	// the function was frozen must leave time to try another.
	attemptTimeout = 2 * time.Second

	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// Open returns the table that the environment of a Lambda function names:
// LEADS_TABLE, AWS_REGION and credentials, and where the database is not that
// of AWS, DYNAMODB_ENDPOINT (which the template sets for sam local),
// AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL. It makes no call, but begins to
// connect (see connect.go).
//
// The client is made by hand; see [awsenv] for what that saves.
func Open() *Table {
	options := dynamodb.Options{
		Region:       awsenv.Region(),
		Credentials:  awsenv.Credentials(),
		BaseEndpoint: awsenv.Endpoint("DYNAMODB"),
	}
	if url := os.Getenv("DYNAMODB_ENDPOINT"); url != "" {
		options.BaseEndpoint = &url
	}
	client := dynamodb.New(options, Configure)
	connectAhead(client)
	return New(client, os.Getenv("LEADS_TABLE"))
}

// Configure sets how a client of the table calls and retries; every client
// given to [New] should have it.
//
// The SDK's own first pause is a second, it gives up when many calls fail at
// once, and it takes an answer that broke off for final. Here the first pause
// is 20 ms with full jitter, and what ends the trying is the deadline alone.
func Configure(o *dynamodb.Options) {
	o.HTTPClient = &HTTPClient{
		Timeout: attemptTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: attemptTimeout / 2}).DialContext,
			TLSClientConfig:     awsenv.TLS(),
			TLSHandshakeTimeout: attemptTimeout / 2,
			MaxIdleConnsPerHost: 256, // one host, and never to be redialled under load
			IdleConnTimeout:     90 * time.Second,
		},
	}
	o.DisableValidateResponseChecksum = true // that of TLS is better
	o.APIOptions = append(o.APIOptions, readAnswers)
	o.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = math.MaxInt32 // no bound but the deadline; 0 would be 3
		s.RateLimiter = ratelimit.None
		s.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return pause(attempt), nil
		})
		s.Retryables = retryables
	})
}

// HTTPClient makes exchanges with the database, each a whole request and a whole
// answer. What an [http.Client] does beside that, nobody needs here.
//
// A request is sent with one write: net/http sends the header before a body of a
// type that it does not know, as the SDK's are, and the database is woken twice.
// Such a body can also be sent again where the database had closed the connection
// before, as it does while the function is frozen.
type HTTPClient struct {
	Transport http.RoundTripper
	Timeout   time.Duration // of an exchange
}

// Do implements [dynamodb.HTTPClient]. The body of its answer is a [wholeBody].
func (c *HTTPClient) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), c.Timeout)
	defer cancel()
	r = r.WithContext(ctx)
	if r.Body != nil {
		body, err := read(r.Body, r.ContentLength)
		if err != nil {
			return nil, err
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	response, err := c.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := read(response.Body, response.ContentLength)
	response.Body = &wholeBody{*bytes.NewBuffer(body)}
	return response, err
}

// read reads and closes a body of so many bytes, or of -1 where that is unknown.
func read(body io.ReadCloser, length int64) ([]byte, error) {
	defer body.Close()
	if length < 0 || length > 16<<20 { // no answer of DynamoDB is longer
		return io.ReadAll(body)
	}
	whole := make([]byte, length)
	_, err := io.ReadFull(body, whole)
	return whole, err
}

// wholeBody is a body that is in memory.
type wholeBody struct{ bytes.Buffer }

// Close implements [io.Closer].
func (*wholeBody) Close() error { return nil }

// pause returns a random pause before the attempt after this one (full jitter,
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
func pause(attempt int) time.Duration {
	most := maxPause
	if attempt < 5 {
		most = min(firstPause<<attempt, maxPause)
	}
	return rand.N(most)
}

// passing tells the SDK of faults that pass and that it does not know: an
// answer that broke off, a write that met a transaction, and a transaction that
// met another or was throttled.
func passing(err error) aws.Ternary {
	var met *types.TransactionConflictException
	var broken *smithy.DeserializationError
	var cancelled *types.TransactionCanceledException
	switch {
	case errors.As(err, &cancelled):
		return aws.BoolTernary(!slices.ContainsFunc(cancelled.CancellationReasons, isLasting))
	case errors.As(err, &met), errors.As(err, &broken), errors.Is(err, io.ErrUnexpectedEOF):
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// patient bounds the time of a call.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= patience {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// sleep pauses before another attempt of ours. It reports false when the time
// is up.
func sleep(ctx context.Context, attempt int) bool {
	select {
	case <-time.After(pause(attempt)):
		return true
	case <-ctx.Done():
		return false
	}
}

// retryables tell which errors of the SDK pass.
var retryables = append(slices.Clone(retry.DefaultRetryables), retry.IsErrorRetryableFunc(passing))

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// fault turns an error of the SDK into one of a lead.Store. What passes
// becomes a [lead.UnavailableError]; a refusal, which means that the deployment is
// wrong, stays one.
func fault(err error) error {
	said := &failure{summary(err), err}
	var cancelled *types.TransactionCanceledException
	if throttles.IsErrorThrottle(err).Bool() || errors.As(err, &cancelled) && slices.ContainsFunc(cancelled.CancellationReasons, isThrottled) {
		return &lead.UnavailableError{Throttled: true, RetryAfter: time.Second, Err: said}
	}
	var refused smithy.APIError
	if errors.As(err, &refused) && !retry.IsErrorRetryables(retryables).IsErrorRetryable(err).Bool() {
		return said
	}
	return &lead.UnavailableError{RetryAfter: time.Second, Err: said}
}

// failure is an error of the SDK that can be logged. The SDK's own text has the
// names of tables and hosts, and where the database refuses a value, the value.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// summary says which call of the database failed, and the code of its error.
func summary(err error) string {
	said := "no answer"
	var refused smithy.APIError
	var cancelled *types.TransactionCanceledException
	var errno syscall.Errno
	switch {
	case errors.As(err, &cancelled):
		said = cancelled.ErrorCode()
		for _, r := range cancelled.CancellationReasons {
			said += " " + aws.ToString(r.Code)
		}
	case errors.As(err, &refused):
		said = refused.ErrorCode()
	case passing(err).Bool():
		said = "the answer broke off"
	case errors.As(err, &errno):
		said = errno.Error()
	case errors.Is(err, context.DeadlineExceeded):
		said = "no answer in time"
	}
	var call *smithy.OperationError
	if errors.As(err, &call) {
		return call.Operation() + ": " + said
	}
	return said
}
