package dynamo

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Spans of time are written as the beginnings of timestamps, here as in the
// range key of the index: "2024-01-15" is a day, "2024-01-15T09:3" a period of
// ten minutes, "2024-01-15T09:30:07" a second.
const (
	dayLength    = len("2024-01-15")
	periodLength = len("2024-01-15T09:3")
	secondLength = len("2024-01-15T09:30:07")
	periodTime   = 10 * time.Minute
)

func span(t time.Time, length int) string {
	return t.UTC().Format("2006-01-02T15:04:05")[:length]
}

func period(t time.Time) string { return span(t, periodLength) }

// mark returns the attribute that counts a second in the book of its period:
// a letter, the last digit of the minute, and the second.
func mark(letter string, t time.Time) string {
	return letter + t.UTC().Format("04")[1:] + t.UTC().Format("05")
}

// marked returns the second that a mark in the book of this period counts.
func marked(period, mark string) string {
	return period + mark[1:2] + ":" + mark[2:]
}

func booksOf(tenant lead.Tenant) string { return tenantName(tenant) + "/books" }

// book returns the write that adds one to these marks of a book.
func (t *Table) book(tenant lead.Tenant, name string, marks ...string) types.TransactWriteItem {
	e := expression{names: map[string]string{}, values: item{}}
	one := e.value(number(1))
	var adds []string
	for i, m := range marks {
		e.names["#"+itoa(int64(i))] = m
		adds = append(adds, "#"+itoa(int64(i))+" "+one)
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 &t.name,
		Key:                       key(booksOf(tenant), name),
		UpdateExpression:          aws.String("ADD " + strings.Join(adds, ", ")),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	}}
}

func isBook(w types.TransactWriteItem) bool { return w.Update != nil }
