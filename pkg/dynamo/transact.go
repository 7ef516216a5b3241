package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// writeTransaction writes all of writes and of the counter writes, or none. It
// calls counterWrites before each attempt that may use other counter items than
// the last.
//
// If the condition of one of writes is false, the error wraps a
// [types.TransactionCanceledException] whose reasons have the order of writes.
// Other errors are those of toStoreError.
//
// An attempt with an unknown outcome is repeated with the same client token, so
// that DynamoDB executes only one of both. (DynamoDB remembers a token for ten
// minutes.) If all attempts so far were rejected, the next one has a new token,
// and another shard if a counter item had a conflict or was full. The SDK's
// retryer hides the outcome of the attempts that it repeats, so this function
// repeats them itself.
func (t *Table) writeTransaction(ctx context.Context, writes []types.TransactWriteItem, counterWrites func(*lane) []types.TransactWriteItem) error {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	shard := t.lanes.take()
	defer t.lanes.give(shard)

	retryer := t.client.Options().Retryer
	items := slices.Concat(writes, counterWrites(shard))
	token, outcomeUnknown := rand.Text(), false
	for attempt := 1; ; attempt++ {
		_, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems:      items,
			ClientRequestToken: &token,
		}, withoutRetries)
		if err == nil {
			return nil
		}
		var cancelled *types.TransactionCanceledException
		isCancelled := errors.As(err, &cancelled)
		switch {
		case anyWrite(err, 0, len(writes), codeConditionFailed):
			return err
		case !retryer.IsErrorRetryable(err):
			return toStoreError(err)
		case !isCancelled:
			outcomeUnknown = true
		case !outcomeUnknown:
			if anyWrite(err, len(writes), len(items), codeConflict, codeConditionFailed) {
				t.lanes.redraw(shard)
			}
			items = slices.Concat(writes, counterWrites(shard))
			token = rand.Text()
		}
		if t.waitBeforeRetry(ctx, attempt, err) != nil {
			return toStoreError(err)
		}
	}
}

// anyWrite reports whether a write of a transaction with an index from first to
// before end cancelled it with one of these codes.
func anyWrite(err error, first, end int, codes ...string) bool {
	for i := first; i < end; i++ {
		if hasCode(cancellationReason(err, i), codes...) {
			return true
		}
	}
	return false
}
