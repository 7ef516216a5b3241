package dynamo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Audit recounts the leads of a tenant from the index and holds the books
// against them. Nothing that the product does makes a difference between them;
// a hand in the table may, or a backup that was restored in part.
type Audit struct {
	Tenant lead.Tenant

	// Repair puts right what differs. Creates, deletes and lists may go on all
	// the while.
	Repair bool

	// Found is told of each difference, the oldest first.
	Found func(Difference)

	// Progress is told now and then how many leads have been counted of how
	// many that the books say there are. Where something differs, what is
	// doubtful is counted again.
	Progress func(counted, of int64)
}

// A Difference is a count that is wrong.
type Difference struct {
	Of             string // what is counted wrong, for people
	Says, ShouldBe int64
}

const (
	// looks is how many times a difference is seen before it is taken for
	// one: the index lags behind the books, and both are read while others
	// write.
	looks     = 3
	lookPause = 2 * time.Second

	auditRows = 10_000 // of the index, read at a time
)

// Audit makes the audit and returns the number of leads. Books have three
// counts of leads, which serve three ends, and each is audited: those of a
// cell (c - x) find offsets, those of a period (c - d) make the total, and the
// balance and the calendar sum up the latter.
//
// A repair leaves c as it is, so that settled books stay so: it moves the x of
// the cell, and the d of the period in the book of now. What was sent before
// and comes later changes both sides alike.
//
// An index that lags for longer than the looks take, as it may when DynamoDB
// throttles it, looks like a difference. Repairing it does harm until the next
// audit undoes it.
func (t *Table) Audit(ctx context.Context, a Audit) (leads int64, err error) {
	s, err := t.statement(ctx, a.Tenant)
	if err != nil {
		return 0, err
	}
	progress := func(counted int64) { a.Progress(counted, max(s.total, counted)) }
	found, leads, err := t.recount(ctx, a.Tenant, "", progress)
	if err != nil {
		return 0, err
	}
	for look := 1; look < looks && len(found) > 0; look++ {
		if err := t.rest(ctx, lookPause); err != nil {
			return 0, err
		}
		if err := t.lookAgain(ctx, a.Tenant, found); err != nil {
			return 0, err
		}
	}
	if err := t.auditCaches(ctx, a); err != nil {
		return 0, err
	}
	for _, span := range slices.Sorted(maps.Keys(found)) {
		wrong, what := found[span], "leads created in the two seconds from "+span
		if len(span) == periodLength {
			what = "leads created in the ten minutes from " + span + "0"
		}
		a.Found(Difference{what, wrong.made - wrong.gone, wrong.leads})
		if !a.Repair {
			continue
		}
		if err := t.repair(ctx, a.Tenant, span, wrong.excess()); err != nil {
			return 0, err
		}
	}
	return leads, nil
}

// count is what the books say of the leads of a cell or a period, made - gone,
// and how many the index has.
type count struct{ made, gone, leads int64 }

// excess is by how many the books have too many.
func (c count) excess() int64 { return c.made - c.gone - c.leads }

// counts has counts by their span.
type counts map[string]count

func (c counts) add(span string, made, gone, leads int64) {
	was := c[span]
	c[span] = count{was.made + made, was.gone + gone, was.leads + leads}
}

// enter enters a book, but for what it says of periods before one.
func (c counts) enter(book item, from string) {
	eachMark(book, func(letter byte, span string, n int64) {
		switch {
		case letter == 'c':
			c.add(span, n, 0, 0)
			c.add(span[:periodLength], n, 0, 0)
		case letter == 'x' || span >= from:
			c.add(span, 0, n, 0)
		}
	})
}

// recount counts the leads of all periods from one on, and returns the counts
// of which the books differ.
func (t *Table) recount(ctx context.Context, tenant lead.Tenant, from string, progress func(int64)) (found counts, leads int64, err error) {
	found = counts{}
	// The books follow the index from period to period, so that of cells only
	// those of the period that is open are kept, and those that differ.
	next := max(from, "0") // no book before this one is entered yet
	for after, more := from, true; more; {
		var keys []item
		if keys, more, err = t.index(ctx, tenant, newer, after, auditRows); err != nil {
			return nil, 0, err
		}
		for _, k := range keys {
			cell := cellOf(leadID(k).Time())
			found.add(cell, 0, 0, 1)
			found.add(cell[:periodLength], 0, 0, 1)
		}
		through := "~"
		if more {
			after = createdAt(leadID(keys[len(keys)-1]))
			through = after[:periodLength]
		}
		err := t.eachBook(ctx, tenant, next, through, func(book item) { found.enter(book, from) })
		if err != nil {
			return nil, 0, err
		}
		next = max(next, through)
		maps.DeleteFunc(found, func(span string, c count) bool {
			return len(span) == cellLength && span < next && c.excess() == 0
		})
		leads += int64(len(keys))
		progress(leads)
	}
	maps.DeleteFunc(found, func(_ string, c count) bool { return c.excess() == 0 })
	return found, leads, nil
}

// lookAgain deletes from what was found all that cannot be seen again. It reads
// the books, the index and the books, and what it sees counts only where the
// books were the same before and after.
func (t *Table) lookAgain(ctx context.Context, tenant lead.Tenant, found counts) error {
	first := slices.Min(slices.Collect(maps.Keys(found)))[:periodLength]
	before := counts{}
	err := t.eachBook(ctx, tenant, first, "~", func(book item) { before.enter(book, first) })
	if err != nil {
		return err
	}
	again, _, err := t.recount(ctx, tenant, first, func(int64) {})
	if err != nil {
		return err
	}
	maps.DeleteFunc(found, func(span string, was count) bool {
		now := again[span]
		return now.excess() != was.excess() || now.made != before[span].made || now.gone != before[span].gone
	})
	return nil
}

// repair takes so many leads from what the books say of a cell or a period.
func (t *Table) repair(ctx context.Context, tenant lead.Tenant, span string, leads int64) error {
	m, of := spanMark("d", span), period(t.Now())
	if len(span) == cellLength {
		m, of = spanMark("x", span), span[:periodLength]
	}
	return t.writeTransaction(ctx, nil, func(l *lane) []types.TransactWriteItem {
		return []types.TransactWriteItem{t.book(tenant, l.repairBook(of), leads, m)}
	})
}

// auditCaches holds the balance and the calendar against the books that they
// sum up. A list that began before a repair may bring the old count forward
// after it, so the repair is held against the books again when such lists have
// ended.
func (t *Table) auditCaches(ctx context.Context, a Audit) error {
	for round := 1; ; round++ {
		repaired, err := t.auditCachesOnce(ctx, a)
		if err != nil || !repaired {
			return err
		}
		if round == looks {
			return fmt.Errorf("the balance or the calendar of %s changed while they were repaired: audit again", tenantName(a.Tenant))
		}
		if err := t.rest(ctx, retryTimeout); err != nil {
			return err
		}
	}
}

func (t *Table) auditCachesOnce(ctx context.Context, a Audit) (repaired bool, err error) {
	var lines [2]item // balance and calendar
	for i, k := range []item{itemKey(booksOf(a.Tenant), balanceName), calendarKey(a.Tenant)} {
		if lines[i], err = t.getItem(ctx, k); err != nil {
			return false, err
		}
	}
	through := [2]string{stringOf(lines[0][attrThrough]), stringOf(lines[1][attrThrough])}
	var total int64
	days := map[string]int64{}
	err = t.eachBook(ctx, a.Tenant, "0", max(through[0], through[1])+"~", func(book item) {
		if periodOf(book) <= through[0] {
			total += change(book)
		}
		if periodOf(book) <= through[1] {
			enterDays(days, book)
		}
	})
	if err != nil {
		return false, err
	}
	was := intOf(lines[0][attrTotal])
	if was != total {
		repaired = a.Repair
		a.Found(Difference{"leads in the balance at the end of the ten minutes from " + through[0] + "0", was, total})
		if a.Repair {
			if err := t.replace(ctx, lines[0], balanceLine(a.Tenant, through[0], total)); err != nil {
				return false, err
			}
		}
	}
	byDay := daysOf(lines[1])
	wrong := slices.Collect(maps.Keys(byDay))
	for day := range days {
		if byDay[day] == 0 {
			wrong = append(wrong, day)
		}
	}
	wrong = slices.DeleteFunc(wrong, func(day string) bool { return byDay[day] == days[day] })
	for _, day := range slices.Sorted(slices.Values(wrong)) {
		a.Found(Difference{"leads in the calendar, of " + day, byDay[day], days[day]})
	}
	if len(wrong) > 0 && a.Repair {
		repaired = true
		if err := t.replace(ctx, lines[1], calendarLine(a.Tenant, through[1], days)); err != nil {
			return false, err
		}
	}
	return repaired, nil
}

// replace puts a line in the place of another, unless it has changed.
func (t *Table) replace(ctx context.Context, was, line item) error {
	unchanged := expression.Name(attrPK).AttributeExists()
	for _, name := range []string{attrThrough, attrTotal, attrDays} {
		if v, ok := was[name]; ok {
			unchanged = unchanged.And(expression.Name(name).Equal(expression.Value(v)))
		}
	}
	expr, err := expression.NewBuilder().WithCondition(unchanged).Build()
	if err != nil {
		return err
	}
	_, err = t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 &t.name,
		Item:                      line,
		ConditionExpression:       expr.Condition(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
	})
	return err
}
