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
// ten minutes. A cell, the smallest span that is counted, is two seconds long
// and written as its even second, "2024-01-15T09:30:06".
//
// A cell is small enough to be read through in the index, even at the thousand
// writes a second that one partition of the index takes, and large enough for
// the books of the last half hour to be read as one unit or two.
const (
	dayLength    = len("2024-01-15")
	periodLength = len("2024-01-15T09:3")
	cellLength   = len("2024-01-15T09:30:06")

	periodTime = 10 * time.Minute
	cellTime   = 2 * time.Second
)

// settling is how long after its end a period may still be written to: far
// longer than a call is tried, than clocks differ, and than a request's
// signature holds. Later than that its books are facts.
const settling = 15 * time.Minute

func cellOf(t time.Time) string {
	return t.UTC().Truncate(cellTime).Format("2006-01-02T15:04:05")
}

func period(t time.Time) string { return cellOf(t)[:periodLength] }

// lastSettled returns the newest period that no longer changes.
func lastSettled(now time.Time) string { return period(now.Add(-settling - periodTime)) }

// earlier returns the period that is n periods before this one.
func earlier(period string, n int) string {
	t, _ := time.Parse("2006-01-02T15:04", period+"0") // a period that we wrote
	return t.Add(-time.Duration(n) * periodTime).Format("2006-01-02T15:04")[:periodLength]
}

// endOf returns a text that sorts after every timestamp in the cell, and before
// every later one.
func endOf(cell string) string {
	return cell[:cellLength-1] + string(cell[cellLength-1]+1) + "~"
}

// A mark is the attribute of a book that counts a cell: a letter, the last digit
// of the minute, and the second.
func mark(letter, cell string) string {
	return letter + cell[periodLength:periodLength+1] + cell[periodLength+2:]
}

// marked returns the cell that a mark in a book of this period counts.
func marked(period, mark string) string {
	return period + mark[1:2] + ":" + mark[2:]
}

func booksOf(tenant lead.Tenant) string { return tenantName(tenant) + "/books" }

// periodOf returns the period that a book is of.
func periodOf(book item) string { return stringOf(book[attrSK])[:periodLength] }

// book returns the write that adds n to these marks of a book.
func (t *Table) book(tenant lead.Tenant, name string, n int64, marks ...string) types.TransactWriteItem {
	e := expression{names: map[string]string{}, values: item{}}
	count := e.value(number(n))
	var adds []string
	for i, m := range marks {
		e.names["#"+itoa(int64(i))] = m
		adds = append(adds, "#"+itoa(int64(i))+" "+count)
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
