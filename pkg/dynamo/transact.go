package dynamo

import (
	"context"
	"crypto/rand"
	"errors"

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
// writes to the books, in the lane that it is given. The error is a
// TransactionCanceledException where a condition refused a write or the
// conflicts did not end, else a fault.
//
// An attempt whose outcome is unknown is sent again with the same token, so
// that DynamoDB makes one of both (it knows a token for ten minutes). Only
// after a definite no is the token, and where the books met the lane, another.
func (t *Table) transact(ctx context.Context, writes []types.TransactWriteItem, in func(*lane)) error {
	ctx, cancel := patient(ctx)
	defer cancel()
	l := t.lanes.take()
	defer t.lanes.give(l)
	for attempt := 0; ; attempt++ {
		in(l)
		_, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems:      writes,
			ClientRequestToken: aws.String(rand.Text()),
		})
		if err == nil {
			return nil
		}
		var cancelled *types.TransactionCanceledException
		if !errors.As(err, &cancelled) {
			return fault(err)
		}
		passes := true
		for i, reason := range cancelled.CancellationReasons {
			switch aws.ToString(reason.Code) {
			case refused:
				return err
			case conflict:
				if isBook(writes[i]) {
					t.lanes.widen(l)
				}
			case "None", "":
			case "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
			default: // a write that can never succeed
				passes = false
			}
		}
		if !passes || !sleep(ctx, attempt) {
			return err
		}
	}
}
