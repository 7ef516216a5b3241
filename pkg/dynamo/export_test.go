package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lead"
)

// SetNear sets the greatest offset that is reached without the books.
func (t *Table) SetNear(offset int64) { t.near = offset }

// ForgetCaches deletes all that can be made again.
func (t *Table) ForgetCaches(ctx context.Context, tenant lead.Tenant) error {
	for _, k := range []item{key(booksOf(tenant), balanceName), calendarKey(tenant)} {
		if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: k}); err != nil {
			return err
		}
	}
	return nil
}
