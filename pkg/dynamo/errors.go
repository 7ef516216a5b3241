package dynamo

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/lead"
)

// retryAfter is when a client should repeat a request that failed with a
// [lead.UnavailableError].
const retryAfter = time.Second

// toStoreError converts an error of the SDK into an error of a [lead.Store]. A
// transient error becomes a [lead.UnavailableError]. An error that DynamoDB
// returns because the deployment is wrong, such as a missing permission, does
// not.
func toStoreError(err error) error {
	redacted := &redactedError{describeError(err), err}
	var apiError smithy.APIError
	switch {
	case errors.As(err, new(*FormatError)):
		return err
	case isThrottled(err):
		return &lead.UnavailableError{Throttled: true, RetryAfter: retryAfter, Err: redacted}
	case errors.As(err, &apiError) && !retry.IsErrorRetryables(retryables).IsErrorRetryable(err).Bool():
		return redacted
	}
	return &lead.UnavailableError{RetryAfter: retryAfter, Err: redacted}
}

// redactedError is an error of the SDK with a text that may be logged. The
// SDK's text contains, if DynamoDB rejects a value, the value.
type redactedError struct {
	text  string
	cause error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.cause }

// describeError returns the name of the operation that failed and the code of
// the error. If a permission is missing, it also returns the message of AWS,
// which names the permission, the role and the resource.
func describeError(err error) string {
	text := "no answer"
	var apiError smithy.APIError
	var cancelled *types.TransactionCanceledException
	var errno syscall.Errno
	switch {
	case errors.As(err, &cancelled):
		text = cancelled.ErrorCode()
		for _, r := range cancelled.CancellationReasons {
			text += " " + aws.ToString(r.Code)
		}
	case errors.As(err, &apiError):
		text = apiError.ErrorCode()
		if text == "AccessDeniedException" {
			text += ": " + apiError.ErrorMessage()
		}
	case isTransient(err).Bool():
		text = "incomplete answer"
	case errors.As(err, &errno):
		text = errno.Error()
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer in time"
	}
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		return operation.Operation() + ": " + text
	}
	return text
}

// Codes in the reasons for which a transaction was cancelled, see
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html.
const (
	codeConditionFailed = "ConditionalCheckFailed"
	codeConflict        = "TransactionConflict"
)

// cancellationReason returns why the write with this index cancelled a
// transaction. It is empty if err is another error.
func cancellationReason(err error, i int) types.CancellationReason {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) || i >= len(cancelled.CancellationReasons) {
		return types.CancellationReason{}
	}
	return cancelled.CancellationReasons[i]
}

func hasCode(r types.CancellationReason, codes ...string) bool {
	return slices.Contains(codes, aws.ToString(r.Code))
}

// conditionFailed reports whether a transaction was cancelled because the
// condition of this write was false.
func conditionFailed(r types.CancellationReason) bool { return hasCode(r, codeConditionFailed) }

// isThrottled reports whether DynamoDB rejected a request, or a write of a
// transaction, because there were too many.
func isThrottled(err error) bool {
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		return slices.ContainsFunc(cancelled.CancellationReasons, writeThrottled)
	}
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err).Bool()
}

func writeThrottled(r types.CancellationReason) bool {
	return hasCode(r, "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded")
}

// isPermanent reports whether a write would cancel the transaction again. A
// write that was cancelled because of another one has the code None. A failed
// condition is not permanent here: the condition of a counter item fails when
// the item is full, and the next attempt uses another item.
func isPermanent(r types.CancellationReason) bool {
	return !hasCode(r, "", "None", codeConflict, codeConditionFailed) && !writeThrottled(r)
}
