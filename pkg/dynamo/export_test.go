package dynamo

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lead"
)

// SetNear sets the greatest offset that is reached without the books.
func (t *Table) SetNear(offset int64) { t.near = offset }

// SetRest sets what is done instead of waiting between the looks of an audit.
func (t *Table) SetRest(rest func(context.Context, time.Duration) error) { t.rest = rest }

// Tamper adds to an attribute of a book behind the back of the product.
func (t *Table) Tamper(ctx context.Context, tenant lead.Tenant, name, attribute string, n int64) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       key(booksOf(tenant), name),
		UpdateExpression:          aws.String("ADD #mark :n"),
		ExpressionAttributeNames:  map[string]string{"#mark": attribute},
		ExpressionAttributeValues: item{":n": number(n)},
	})
	return err
}

// CreateTogether creates so many leads as writers that are all under way at the
// same time.
func (t *Table) CreateTogether(tb testing.TB, tenant lead.Tenant, writers int) {
	var lanes []*lane
	for range writers {
		lanes = append(lanes, t.lanes.take())
	}
	for _, l := range lanes { // each create takes the lane that was given last
		t.lanes.give(l)
		if _, _, err := t.Create(tb.Context(), tenant, lead.Defaults(), lead.Once{}); err != nil {
			tb.Fatal(err)
		}
	}
}

// Lose deletes the books of a tenant whose names begin so.
func (t *Table) Lose(ctx context.Context, tenant lead.Tenant, prefix string) error {
	var names []string
	if err := t.eachBook(ctx, tenant, prefix, prefix+"~", func(book item) { names = append(names, stringOf(book[attrSK])) }); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: key(booksOf(tenant), name)}); err != nil {
			return err
		}
	}
	return nil
}

// ForgetCaches deletes all that can be made again.
func (t *Table) ForgetCaches(ctx context.Context, tenant lead.Tenant) error {
	for _, k := range []item{key(booksOf(tenant), balanceName), calendarKey(tenant)} {
		if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: k}); err != nil {
			return err
		}
	}
	return nil
}

// TamperCaches puts wrong numbers into the balance and the calendar of a tenant.
func (t *Table) TamperCaches(ctx context.Context, tenant lead.Tenant) error {
	for i, k := range []item{key(booksOf(tenant), balanceName), calendarKey(tenant)} {
		out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: k})
		if err != nil {
			return err
		}
		through := stringOf(out.Item[attrThrough])
		wrong := balanceLine(tenant, through, 12345)
		if i == 1 {
			wrong = calendarLine(tenant, through, map[string]int64{"2026-03-01": 99, "2026-03-05": 1})
		}
		if _, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: wrong}); err != nil {
			return err
		}
	}
	return nil
}
