package dynamo

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lead"
)

// A calendar says, for each day, how many of the leads that were created on it
// there were at the end of a period. Like a balance it is made of books that no
// longer change, and saves reading.
const (
	attrFirst = "first" // the first day
	attrDays  = "days"  // the number of each day from the first on, in words of digits
)

// calendarLag is how many books a calendar may be behind before it is brought
// forward.
const calendarLag = 24

func calendarKey(tenant lead.Tenant) item {
	return itemKey(tenantName(tenant)+"/calendar", "calendar")
}

func calendarLine(tenant lead.Tenant, through string, days map[string]int64) item {
	line := calendarKey(tenant)
	line[attrThrough] = text(through)
	if len(days) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(days)))
		line[attrFirst], line[attrDays] = text(first), text(wordsOf(first, days))
	}
	return line
}

// calendar returns how many leads there are by the day of their creation.
func (t *Table) calendar(ctx context.Context, tenant lead.Tenant, s *statement) (map[string]int64, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: calendarKey(tenant)})
	if err != nil {
		return nil, toStoreError(err)
	}
	through, days := "", map[string]int64{}
	if t.believes(out.Item) {
		through, days = stringOf(out.Item[attrThrough]), daysOf(out.Item)
	}
	save := func(through string) {
		t.save(ctx, through, calendarLine(tenant, through, days))
	}
	if end := earlier(s.since, 1); through < end {
		read := 0
		err := t.eachPeriod(ctx, tenant, through, s.since, func(books []item) {
			read += len(books)
			for _, book := range books {
				enterDays(days, book)
			}
		}, save)
		if err != nil {
			return nil, err
		}
		if through = end; read > calendarLag && !s.saved { // one at a time is enough
			save(through)
		}
	}
	for _, book := range s.books {
		if periodOf(book) > through {
			enterDays(days, book)
		}
	}
	return days, nil
}

func enterDays(days map[string]int64, book item) {
	eachMark(book, func(letter byte, span string, n int64) {
		switch letter {
		case 'c':
			days[span[:dayLength]] += n
		case 'd':
			days[span[:dayLength]] -= n
		}
	})
}

// wordsOf writes a calendar: at most a few bytes a day, and readable.
func wordsOf(first string, days map[string]int64) string {
	var words []string
	left := len(days)
	for day := first; left > 0; day = nextDay(day) {
		n, ok := days[day]
		if ok {
			left--
		}
		words = append(words, itoa(n))
	}
	return strings.Join(words, " ")
}

func daysOf(line item) map[string]int64 {
	days := map[string]int64{}
	day := stringOf(line[attrFirst])
	for word := range strings.FieldsSeq(stringOf(line[attrDays])) {
		if n, _ := strconv.ParseInt(word, 10, 64); n != 0 {
			days[day] = n
		}
		day = nextDay(day)
	}
	return days
}

func nextDay(day string) string {
	t, _ := time.Parse(time.DateOnly, day) // a day that we wrote
	return t.AddDate(0, 0, 1).Format(time.DateOnly)
}
