package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// prepareWrites returns the writes of a transaction that takes effect at this
// time, and what it changes of the counters.
type prepareWrites func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error)

// writeTransaction makes the writes that prepare returns, and those of the
// counters, or none. It calls prepare before each attempt, with the time of the
// attempt, unless the outcome of an earlier one is unknown.
//
// If the condition of one of the writes is false, the error wraps a
// [types.TransactionCanceledException] whose reasons have the order of the writes.
// An error of prepare is returned as it is. Other errors are those of
// toStoreError.
//
// An attempt with an unknown outcome is repeated with the same client token, so that
// DynamoDB executes the transaction once: it remembers a token for ten minutes. The
// signing time is the same too, so that DynamoDB refuses an attempt that arrives too
// late for its window. The SDK's retryer hides the outcome of the attempts that it
// repeats, so this function repeats them itself.
func (t *Table) writeTransaction(ctx context.Context, tenant lead.Tenant, prepare prepareWrites) error {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	shard := t.shards.Acquire()
	defer t.shards.Release(shard)

	retryer := t.client.Options().Retryer
	var writes, items []types.TransactWriteItem
	var change *counter.Change
	var token string
	outcomeUnknown := false
	for attempt := 1; ; attempt++ {
		if !outcomeUnknown {
			var err error
			if writes, change, err = prepare(t.clock.Now()); err != nil {
				return err
			}
			items = slices.Concat(writes, change.Writes(t.name, tenantName(tenant), shard))
			token = rand.Text()
		}
		out, err := t.client.TransactWriteItems(withSigningTime(ctx, change.At()), &dynamodb.TransactWriteItemsInput{
			TransactItems:      items,
			ClientRequestToken: &token,
		}, withoutRetries)
		if err == nil {
			t.clock.ObserveAnswer(out.ResultMetadata)
			shard.Written(change)
			return nil
		}
		t.clock.Observe(dateOfError(err))
		var cancelled *types.TransactionCanceledException
		late := isSignatureLate(err, change.At())
		full := false // whether a counter item had no room
		for i := range items[len(writes):] {
			if reason := cancellationReason(err, len(writes)+i); conditionFailed(reason) {
				t.shards.Refused(shard, change, i, reason.Item)
				full = true
			}
		}
		switch {
		case anyWrite(err, 0, len(writes), codeConditionFailed):
			return err
		case (late || full) && outcomeUnknown:
			return &lead.UnavailableError{RetryAfter: retryAfter, Err: &redactedError{describeError(err), err}}
		case late:
			t.ids.Reset() // ids that a wrong clock made may be in the future
		case !retryer.IsErrorRetryable(err):
			return toStoreError(err)
		case !errors.As(err, &cancelled):
			outcomeUnknown = true
		case !outcomeUnknown && anyWrite(err, len(writes), len(items), codeConflict):
			t.shards.Reassign(shard)
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
