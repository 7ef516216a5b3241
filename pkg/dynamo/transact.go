package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Codes of the reasons for which a transaction was cancelled, see
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html.
const (
	refused  = "ConditionalCheckFailed"
	conflict = "TransactionConflict"
)

// transact writes all of these or none. Before each attempt, in sets the
// writes to the books, in the lane that it is given. The error is a fault;
// it wraps a TransactionCanceledException where that was the last answer, and
// is one where a condition refused a write.
//
// An attempt whose outcome is unknown is sent again just as it was, so that
// DynamoDB makes one of both by their token (it knows a token for ten minutes).
// Only while all that was sent met a definite no is the token, and where a book
// was met or full the lane, another. So the attempts are made here and not by the
// SDK, which does not say what became of those that it repeats.
func (t *Table) transact(ctx context.Context, writes []types.TransactWriteItem, in func(*lane)) error {
	ctx, cancel := patient(ctx)
	defer cancel()
	l := t.lanes.take()
	defer t.lanes.give(l)
	in(l)
	token, unknown := rand.Text(), false
	retryer := t.client.Options().Retryer
	for attempt := 0; ; attempt++ {
		_, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems:      writes,
			ClientRequestToken: &token,
		}, oneAttempt)
		if err == nil {
			return nil
		}
		var cancelled *types.TransactionCanceledException
		isCancelled := errors.As(err, &cancelled)
		switch {
		case isCancelled && refusedLead(writes, err):
			return err
		case !retryer.IsErrorRetryable(err):
			return fault(err)
		case !isCancelled:
			unknown = true
		case !unknown:
			for i := range writes {
				if isBook(writes[i]) && has(reason(err, i), conflict, refused) {
					t.lanes.redraw(l)
					break
				}
			}
			in(l)
			token = rand.Text()
		}
		if !sleep(ctx, attempt) {
			return fault(err)
		}
	}
}

func oneAttempt(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// reason returns what an error of transact says of the write with this index.
func reason(err error, i int) types.CancellationReason {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) || i >= len(cancelled.CancellationReasons) {
		return types.CancellationReason{}
	}
	return cancelled.CancellationReasons[i]
}

func has(r types.CancellationReason, codes ...string) bool {
	return slices.Contains(codes, aws.ToString(r.Code))
}

// refusedLead reports whether a write was refused that is not one of the books.
func refusedLead(writes []types.TransactWriteItem, err error) bool {
	for i := range writes {
		if !isBook(writes[i]) && has(reason(err, i), refused) {
			return true
		}
	}
	return false
}

func isThrottled(r types.CancellationReason) bool {
	return has(r, "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded")
}

// isLasting reports whether a reason does not pass. A write that was cancelled
// for another's sake has the code None. A book that is full refuses one; the
// next does not.
func isLasting(r types.CancellationReason) bool {
	return !has(r, "", "None", conflict, refused) && !isThrottled(r)
}
