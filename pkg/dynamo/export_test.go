package dynamo

import (
	"context"
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
		Key:                       itemKey(booksOf(tenant), name),
		UpdateExpression:          aws.String("ADD #mark :n"),
		ExpressionAttributeNames:  map[string]string{"#mark": attribute},
		ExpressionAttributeValues: item{":n": number(n)},
	})
	return err
}

// CreateTogether creates leads as so many writers do that are all under way at
// the same time, and returns them in order.
func (t *Table) CreateTogether(ctx context.Context, tenant lead.Tenant, writers int) (made []lead.ID, err error) {
	var lanes []*lane
	for range writers {
		lanes = append(lanes, t.lanes.take())
	}
	for _, l := range lanes { // each create takes the lane that was given last
		t.lanes.give(l)
		l, _, err := t.Create(ctx, tenant, lead.Defaults(), lead.IdempotencyKey{})
		if err != nil {
			return nil, err
		}
		made = append(made, l.ID)
	}
	return made, nil
}

// Lose deletes the books of a tenant whose names begin so.
func (t *Table) Lose(ctx context.Context, tenant lead.Tenant, prefix string) error {
	var names []string
	if err := t.eachBook(ctx, tenant, prefix, prefix+"~", func(book item) { names = append(names, stringOf(book[attrSK])) }); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: itemKey(booksOf(tenant), name)}); err != nil {
			return err
		}
	}
	return nil
}

// ForgetCaches deletes all that can be made again.
func (t *Table) ForgetCaches(ctx context.Context, tenant lead.Tenant) error {
	for _, k := range []item{itemKey(booksOf(tenant), balanceName), calendarKey(tenant)} {
		if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: k}); err != nil {
			return err
		}
	}
	return nil
}

// TamperCaches puts wrong numbers into the balance and the calendar of a tenant.
func (t *Table) TamperCaches(ctx context.Context, tenant lead.Tenant) error {
	for i, k := range []item{itemKey(booksOf(tenant), balanceName), calendarKey(tenant)} {
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
