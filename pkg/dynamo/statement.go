package dynamo

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// A balance line says how many leads there were at the end of a period. It is
// made of books that no longer change, so it holds nothing that could be lost:
// it saves reading. Its name sorts after every book, so that one query reads
// it and the newest books.
const (
	balanceName = "~balance"

	attrThrough = "through" // the last period that is counted
	attrTotal   = "total"
)

func balanceLine(tenant lead.Tenant, through string, total int64) item {
	line := itemKey(booksOf(tenant), balanceName)
	line[attrThrough], line[attrTotal] = text(through), number(total)
	return line
}

// A process that knows how far the balance reaches reads the books since, also
// where that is up to a month ago. One that does not reads the newest books and
// hopes to find among them all that the balance does not have.
//
// So the balance is brought forward when there are many books since, or when
// reading them is about to need a second unit, of 4 KB.
const (
	newestBooks = 40
	manyBooks   = 12
	largeBooks  = 3000        // bytes
	longReach   = 30 * 24 * 6 // periods
)

// reached remembers how far the balances of tenants reached when this process
// last read them. It is a hint of where to read from and no more.
type reached struct {
	mu      sync.Mutex
	through map[lead.Tenant]string
}

const reachedMost = 10_000 // tenants

func (r *reached) set(tenant lead.Tenant, through string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.through == nil || len(r.through) >= reachedMost {
		r.through = map[lead.Tenant]string{}
	}
	r.through[tenant] = through
}

// since returns the first period that a balance may not have, or "" where this
// process does not know or it is long ago.
func (r *reached) since(tenant lead.Tenant, settled string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if through := r.through[tenant]; through >= earlier(settled, longReach) {
		return earlier(min(through, settled), -1)
	}
	return ""
}

// statement is what the newest books of a tenant say.
type statement struct {
	total   int64  // leads there are
	settled string // the last period that is settled
	books   []item // all, from the period since on
	since   string // at the latest the first that is not settled
	older   bool   // there may be books before

	// cells counts the leads there are by the cell of their creation, from
	// the period since on.
	cells map[string]int64

	saved bool // the balance was brought forward

	// lost are the periods that lost leads after the last settled one. The
	// index may still name those leads.
	lost map[string]bool
}

// statement reads the newest books and the balance, strongly consistent, in one
// query. Where the balance is missing or far behind, it reads the books since.
//
// A query does not read all its items in one moment: of a transaction that runs
// meanwhile it may see one item and not another. Therefore each create and each
// delete changes the total in one item alone, and the total has all that ended
// before the query and nothing that began after it.
func (t *Table) statement(ctx context.Context, tenant lead.Tenant) (*statement, error) {
	settled := lastSettled(t.Now())
	s := &statement{
		settled: settled,
		cells:   map[string]int64{},
		lost:    map[string]bool{},
	}
	line, err := t.readNewest(ctx, tenant, s)
	if err != nil {
		return nil, err
	}
	var balance struct {
		through string
		total   int64
	}
	if line != nil && t.believes(line) {
		balance.through, balance.total = stringOf(line[attrThrough]), intOf(line[attrTotal])
	}
	save := func(through string) {
		t.save(ctx, through, balanceLine(tenant, through, balance.total))
	}
	reached, size, settledSize, many := balance.through, 0, 0, 0
	stale := balance.through == ""
	if s.older && balance.through < earlier(s.since, 1) {
		err := t.eachPeriod(ctx, tenant, balance.through, s.since, func(books []item) {
			for _, book := range books {
				balance.total += change(book)
			}
		}, save)
		if err != nil {
			return nil, err
		}
		balance.through, stale = earlier(s.since, 1), true
	}

	s.total = balance.total
	for _, book := range s.books {
		s.enter(book)
		p := periodOf(book)
		if p <= balance.through {
			continue
		}
		leads, bytes := change(book), sizeOf(book)
		s.total += leads
		many++
		size += bytes
		if p <= settled {
			balance.total += leads
			settledSize += bytes
		}
	}
	stale = stale || (many > manyBooks || size > largeBooks) && 3*settledSize > size
	if s.saved = stale; stale {
		save(settled)
		reached = settled
	}
	t.reached.set(tenant, reached)
	return s, nil
}

// readNewest reads the newest books of a statement, all that are not settled among
// them, and the balance where there is one.
func (t *Table) readNewest(ctx context.Context, tenant lead.Tenant, s *statement) (balance item, err error) {
	enter := func(it item) {
		if stringOf(it[attrSK]) == balanceName {
			balance = it
		} else {
			s.books = append(s.books, it)
		}
	}
	if s.since = t.reached.since(tenant, s.settled); s.since == "" {
		s.since = earlier(s.settled, -1)
		more, err := t.lastBooks(ctx, tenant, enter)
		if err != nil {
			return nil, err
		}
		oldest := s.since
		if n := len(s.books); n > 0 {
			oldest = periodOf(s.books[n-1])
		}
		switch {
		case !more:
			s.since = min(s.since, oldest)
			return balance, nil
		case oldest < s.since: // and it may not be whole
			s.since = earlier(oldest, -1)
			s.books = slices.DeleteFunc(s.books, func(book item) bool { return periodOf(book) == oldest })
			s.older = true
			return balance, nil
		}
		s.books = nil
	}
	s.older = true
	err = t.eachBook(ctx, tenant, s.since, "~~", enter)
	return balance, err
}

// enter enters a book into what is known of cells.
func (s *statement) enter(book item) {
	eachMark(book, func(letter byte, span string, n int64) {
		switch letter {
		case 'c':
			s.cells[span] += n
		case 'x':
			s.cells[span] -= n
		case 'd':
			if periodOf(book) > s.settled {
				s.lost[span] = true
			}
		}
	})
}

// change returns by how much a book changes the total.
func change(book item) (total int64) {
	eachMark(book, func(letter byte, _ string, n int64) {
		switch letter {
		case 'c':
			total += n
		case 'd':
			total -= n
		}
	})
	return total
}

// sizeOf returns how many bytes a book has, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html.
func sizeOf(book item) (size int) {
	for name, value := range book {
		size += len(name) + len(stringOf(value))
		if n, ok := value.(*types.AttributeValueMemberN); ok {
			size += len(strings.Trim(n.Value, "0"))/2 + 2
		}
	}
	return size
}

// lastBooks reads the newestBooks last items of a tenant's books, the last first,
// strongly consistent, and reports whether there are more.
func (t *Table) lastBooks(ctx context.Context, tenant lead.Tenant, enter func(item)) (more bool, err error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	page, err := t.client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :books"),
		ExpressionAttributeValues: item{":books": text(booksOf(tenant))},
		ConsistentRead:            aws.Bool(true),
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(newestBooks),
	})
	if err != nil {
		return false, toStoreError(err)
	}
	for _, it := range page.Items {
		enter(it)
	}
	return page.LastEvaluatedKey != nil, nil
}

// eachBook reads the items of a tenant's books between two names, in order,
// strongly consistent.
func (t *Table) eachBook(ctx context.Context, tenant lead.Tenant, from, to string, enter func(item)) error {
	return t.eachPage(ctx, tenant, from, to, func(books []item, _ bool) {
		for _, book := range books {
			enter(book)
		}
	})
}

// eachPeriod reads the books after one period and before another, a period at a
// time, and calls save after each page with the last period that was entered,
// so that a history too long for one call is read in several.
func (t *Table) eachPeriod(ctx context.Context, tenant lead.Tenant, after, before string, enter func([]item), save func(through string)) error {
	from := after + "~"
	if after == "" {
		from = "0" // books begin with a year
	}
	var open []item // the books of the period that is being read
	return t.eachPage(ctx, tenant, from, before, func(books []item, more bool) {
		through := ""
		for _, book := range books {
			if len(open) > 0 && periodOf(open[0]) != periodOf(book) {
				enter(open)
				through = periodOf(open[0])
				open = nil
			}
			open = append(open, book)
		}
		switch {
		case !more && len(open) > 0:
			enter(open)
		case more && through != "":
			save(through)
		}
	})
}

func (t *Table) eachPage(ctx context.Context, tenant lead.Tenant, from, to string, enter func(books []item, more bool)) error {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :books AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":books": text(booksOf(tenant)), ":from": text(from), ":to": text(to)},
		ConsistentRead:            aws.Bool(true),
	})
	for pages.HasMorePages() {
		ctx, cancel := withRetryDeadline(ctx)
		page, err := pages.NextPage(ctx)
		cancel()
		if err != nil {
			return toStoreError(err)
		}
		enter(page.Items, pages.HasMorePages())
	}
	return nil
}

// settledAnywhere returns the last period that may be settled by the clock of
// any process: those of two may be on either side of a period's end.
func (t *Table) settledAnywhere() string { return earlier(lastSettled(t.Now()), -1) }

// believes reports whether a line was made of settled books. One that reaches
// further was made by a process whose clock is ahead, such as that of somebody
// who makes a key, and does not count what came since.
func (t *Table) believes(line item) bool {
	return stringOf(line[attrThrough]) <= t.settledAnywhere()
}

// save stores a line that was made of settled books, unless there is one that
// reaches further and can be believed. It is a cache: that it could not be
// stored is no error, and not worth a second attempt.
func (t *Table) save(ctx context.Context, through string, line item) {
	_, _ = t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 &t.name,
		Item:                      line,
		ConditionExpression:       aws.String("attribute_not_exists(pk) OR through < :through OR through > :settled"),
		ExpressionAttributeValues: item{":through": text(through), ":settled": text(t.settledAnywhere())},
	}, withoutRetries)
}
