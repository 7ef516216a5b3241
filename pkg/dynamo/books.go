package dynamo

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
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
// the books of the last minutes to be read as one unit.
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
const settling = 10 * time.Minute

func cellOf(t time.Time) string {
	return t.UTC().Truncate(cellTime).Format(time.RFC3339)[:cellLength] // a format that the library has a quick way for
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

// The cells of a period are counted seven to an attribute: of its number, the
// last four digits are the first cell, the four before them the second. That
// takes less than half the bytes of an attribute to a cell. DynamoDB keeps 38
// digits, but emulators that count with Python's decimal numbers only 28.
const (
	groupCells = 7
	cellDigits = 4
	groups     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg" // their names

	// bookMost is how many leads a page counts at most, so that no cell runs
	// over into the next. A condition holds it.
	bookMost  = 9999
	attrLeads = "n"
)

// A mark is an attribute of a book: a letter and the number of a group of
// cells, or a letter and a span of time. What is added to it is followed by
// zeros, up to the digits of the cell.
type mark struct {
	name  string
	zeros int
}

func (m mark) value(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: itoa(n) + strings.Repeat("0", m.zeros)}
}

// size returns how many bytes the mark has at most, unless a span's number is
// large.
func (m mark) size() int {
	if len(m.name) == 2 {
		return 2 + groupCells*cellDigits/2 + 1
	}
	return len(m.name) + 3
}

// half returns 1 for the cells of the later five minutes, else 0.
func (m mark) half() int {
	if len(m.name) == 2 && m.name[1] >= groups[len(groups)/2+1] {
		return 1
	}
	return 0
}

// cellMark returns the mark that counts a cell.
func cellMark(letter, cell string) mark {
	minute, second := int(cell[periodLength]-'0'), int(cell[cellLength-2]-'0')*10+int(cell[cellLength-1]-'0')
	n := minute*30 + second/2
	return mark{letter + groups[n/groupCells:][:1], n % groupCells * cellDigits}
}

// spanMark returns a mark that counts one span of time. It takes any number,
// also one below zero.
func spanMark(letter, span string) mark { return mark{name: letter + span} }

// eachMark calls enter for every count of a book, with its letter and what is
// counted: for c and x a cell, for d a period.
func eachMark(book item, enter func(letter byte, span string, n int64)) {
	for name, value := range book {
		switch letter := name[0]; {
		case letter != 'c' && letter != 'x' && letter != 'd':
		case len(name) > 2:
			enter(letter, name[1:], intOf(value))
		default:
			group := strings.Index(groups, name[1:])
			eachCell(value, func(i int, n int64) {
				enter(letter, nthCell(periodOf(book), group*groupCells+i), n)
			})
		}
	}
}

// eachCell takes the number of a group of cells apart.
func eachCell(group types.AttributeValue, enter func(i int, n int64)) {
	digits := ""
	if n, ok := group.(*types.AttributeValueMemberN); ok {
		digits = n.Value
	}
	for i := 0; digits != ""; i++ {
		cut := max(0, len(digits)-cellDigits)
		if n, _ := strconv.ParseInt(digits[cut:], 10, 64); n != 0 {
			enter(i, n)
		}
		digits = digits[:cut]
	}
}

// nthCell returns a cell of a period, of which the first is 0.
func nthCell(period string, n int) string {
	second := n % 30 * 2
	return period + string([]byte{byte('0' + n/30), ':', byte('0' + second/10), byte('0' + second%10)})
}

const booksName = "/books"

func booksOf(tenant lead.Tenant) string { return tenantName(tenant) + booksName }

// periodOf returns the period that a book is of.
func periodOf(book item) string { return stringOf(book[attrSK])[:periodLength] }

// book returns the write that adds so many leads to these marks of a book. It is
// refused where the book is full.
func (t *Table) book(tenant lead.Tenant, name string, leads int64, marks ...mark) types.TransactWriteItem {
	update := expression.Add(expression.Name(attrLeads), expression.Value(number(leads)))
	for _, m := range marks {
		update = update.Add(expression.Name(m.name), expression.Value(m.value(leads)))
	}
	hasRoom := expression.Name(attrLeads).AttributeNotExists().
		Or(expression.Name(attrLeads).LessThanEqual(expression.Value(number(bookMost - leads))))
	expr, err := expression.NewBuilder().WithUpdate(update).WithCondition(hasRoom).Build()
	if err != nil {
		panic(err) // only for an empty name
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 &t.name,
		Key:                       itemKey(booksOf(tenant), name),
		UpdateExpression:          expr.Update(),
		ConditionExpression:       expr.Condition(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
	}}
}
