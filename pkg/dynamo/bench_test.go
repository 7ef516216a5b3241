package dynamo_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var sizes = flag.String("leads", "1000,10000,100000,1000000", "the `NUMBERS` of leads that BenchmarkLeads makes")

// BenchmarkLeads prints, as Markdown, what each operation costs with so many
// leads in one account, beside the naive way of listing: to count the index and
// to read it past the offset. For filters and ranges that is computed, from the
// cost of each row, as if each filter had such an index. make bench runs it once.
//
// It computes ten million with the same code over synthetic items: the totals and
// snapshots of that many, and the counter items and leads of the days that are
// looked at.
func BenchmarkLeads(b *testing.B) {
	for b.Loop() {
		var perLead naive
		for _, size := range strings.Split(*sizes, ",") {
			n, err := strconv.Atoi(size)
			if err != nil {
				b.Fatal(err)
			}
			perLead = benchmark(b, history{n}, nil)
		}
		benchmark(b, history{10_000_000}, &perLead)
	}
}

// history is so many leads, created evenly in the five years to noon of
// 2026-03-01.
type history struct{ leads int }

var (
	historyBegin = time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC)
	historyEnd   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// created returns the time of the lead with this rank from the oldest.
func (h history) created(rank int) time.Time {
	return historyBegin.Add(historyEnd.Sub(historyBegin) / time.Duration(h.leads) * time.Duration(rank))
}

// times returns the times of the leads from one rank to before another.
func (h history) times(from, to int) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for rank := max(0, from); rank < min(to, h.leads); rank++ {
			if !yield(h.created(rank)) {
				return
			}
		}
	}
}

// day returns the ranks of the leads of the day of this one.
func (h history) day(rank int) (from, to int) {
	day := h.created(rank).Truncate(24 * time.Hour)
	for from = rank; from > 0 && !h.created(from-1).Before(day); from-- {
	}
	for to = rank; to < h.leads && h.created(to).Before(day.AddDate(0, 0, 1)); to++ {
	}
	return from, to
}

// offsets are those that are looked at.
func (h history) offsets() []int { return []int{0, h.leads / 10, h.leads / 2, h.leads - 20} }

// seed makes the history: whole, or what is needed to list at the offsets.
func (h history) seed(ctx context.Context, table *dynamo.Table, whole bool) error {
	days := map[string]int64{}
	for at := range h.times(0, h.leads) {
		if day := at.Format(time.DateOnly); day < historyEnd.Format(time.DateOnly) {
			days[day]++
		}
	}
	if err := table.SeedHistory(ctx, acme, lead.Defaults(), days); err != nil {
		return err
	}
	if whole {
		return table.Seed(ctx, acme, lead.Defaults(), h.times(0, h.leads), func(made int) {
			if made%50_000 == 0 {
				fmt.Fprintf(os.Stderr, "%d of %d leads made\n", made, h.leads)
			}
		})
	}
	for _, offset := range h.offsets() {
		rank := h.leads - 1 - offset
		if err := table.SeedCounters(ctx, acme, lead.Defaults(), h.times(h.day(rank))); err != nil {
			return err
		}
		if err := table.SeedLeads(ctx, acme, lead.Defaults(), h.times(rank-30, rank+30), nil); err != nil {
			return err
		}
	}
	return nil
}

// idAt returns an id of this time.
func idAt(at time.Time) lead.ID {
	id, _ := lead.IDAt(at, "000000000000")
	return id
}

// figures is what a call cost.
type figures struct {
	requests int
	units    float64
	time     time.Duration
}

// naive is what listing without counters costs: counting, and reading past an
// offset, for each lead that is there or passed.
type naive struct{ requests, units, time float64 }

func benchmark(b *testing.B, h history, computed *naive) (perLead naive) {
	ctx := b.Context()
	client, meter := dynamotest.Start(b)
	table := dynamo.New(client, dynamotest.TableName)
	now := historyEnd
	table.Now = func() time.Time { return now }
	meter.Now = table.Now
	table.WarmUp(ctx)
	start := time.Now()
	if err := h.seed(ctx, table, computed == nil); err != nil {
		b.Fatal(err)
	}
	how := fmt.Sprintf("made in %v", time.Since(start).Round(time.Second))
	if computed != nil {
		how = "synthetic items; the naive way is computed from the run before"
	}
	fmt.Printf("\n### %s leads\n\n%s.\n\n", thousands(float64(h.leads)), how)
	fmt.Print("| operation | requests | units | time | naive: requests | units | time | ratio: requests | units | time |\n",
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")

	// measure makes a call some times, and says what one cost.
	measure := func(times int, call func() error) figures {
		var spent []time.Duration
		for range times {
			meter.Reset()
			start := time.Now()
			if err := call(); err != nil {
				b.Fatal(err)
			}
			spent = append(spent, time.Since(start))
		}
		requests, read, write := meter.Cost()
		slices.Sort(spent)
		return figures{requests, read + write, spent[times/2]}
	}
	row := func(name string, f figures) {
		fmt.Printf("| %s | %d | %.1f | %s |", name, f.requests, f.units, f.time.Round(100*time.Microsecond))
	}
	besideNaive := func(counted figures, requests, units float64, spent time.Duration) {
		fmt.Printf(" %s | %s | %s | %s | %s | %s |\n", thousands(requests), thousands(units), spent.Round(time.Millisecond),
			ratio(requests/float64(counted.requests)), ratio(units/counted.units), ratio(float64(spent)/float64(counted.time)))
	}
	list := func(offset int) func() error {
		return func() error {
			leads, _, err := table.ListAt(ctx, acme, 20, int64(offset))
			if want := h.created(h.leads - 1 - offset); err == nil && (len(leads) != 20 || !leads[0].CreatedAt.Equal(want)) {
				err = fmt.Errorf("%d leads at offset %d, the first of %v, want %v", len(leads), offset, leads[0].CreatedAt, want)
			}
			return err
		}
	}

	// What the time without a list left behind is brought forward first.
	for range 2 {
		measure(1, list(h.leads/2))
	}
	var count figures
	if computed == nil {
		count = measure(1, func() error { return readIndex(ctx, client, h.leads, true) })
		n := float64(h.leads)
		perLead = naive{float64(count.requests) / n, count.units / n, float64(count.time) / n}
		computed = &perLead
	}
	for _, offset := range h.offsets() {
		counted := measure(5, list(offset))
		row("list, offset "+thousands(float64(offset)), counted)
		reads := float64(h.leads + offset) // rows counted, and rows passed
		requests, units, spent := reads*computed.requests, reads*computed.units, time.Duration(reads*computed.time)
		if computed == &perLead {
			pass := measure(1, func() error { return readIndex(ctx, client, offset+20, false) })
			requests = float64(count.requests + pass.requests)
			units = count.units + pass.units
			spent = count.time + pass.time
		} else {
			requests, units = requests+1, units+20 // the leads themselves
		}
		besideNaive(counted, requests, units, spent)
	}

	const noOther = " | | | | | |\n"
	status := &lead.Filter{Field: statusField, Value: "Lead"}
	middle := h.created(h.leads / 2)
	naivePage := measure(1, func() error { return readIndex(ctx, client, 20, false) }) // without counting and passing
	for _, q := range []struct {
		name string
		q    lead.ListQuery
	}{
		{"first page of a status", lead.ListQuery{Filter: status}},
		{"a status, offset " + thousands(float64(h.leads/2)), lead.ListQuery{Filter: status, Offset: int64(h.leads / 2)}},
		{"the leads of a day", lead.ListQuery{From: middle.Truncate(24 * time.Hour), To: middle.Truncate(24*time.Hour).AddDate(0, 0, 1)}},
		{"a status, in a range of 100 days and some seconds", lead.ListQuery{Filter: status, From: historyEnd.AddDate(0, 0, -100).Add(7 * time.Second), To: historyEnd.Add(-7 * time.Second)}},
		{"after a cursor", lead.ListQuery{StartingAfter: idAt(middle)}},
		{"a status, after a cursor", lead.ListQuery{Filter: status, StartingAfter: idAt(middle)}},
	} {
		q.q.Limit = 20
		var page lead.Page
		call := func() (err error) {
			page, err = table.List(ctx, acme, q.q)
			return err
		}
		measure(1, call)
		counted := measure(5, call)
		row("list, "+q.name, counted)
		rows := float64(page.Total + q.q.Offset)
		besideNaive(counted, rows*computed.requests+float64(naivePage.requests), rows*computed.units+naivePage.units,
			naivePage.time+time.Duration(rows*computed.time))
	}
	if computed == &perLead {
		row(fmt.Sprintf("list, offset %s, totals and snapshots lost", thousands(float64(h.leads/2))), measure(1, func() error {
			if err := table.LoseCaches(ctx, acme, never); err != nil {
				return err
			}
			meter.Reset()
			err := list(h.leads / 2)()
			for errors.As(err, new(*lead.UnavailableError)) { // there is more to read than fits into one call
				err = list(h.leads / 2)()
			}
			return err
		}))
		fmt.Print(noOther)
	}
	var made lead.Lead
	row("create", measure(5, func() (err error) {
		made, _, err = table.Create(ctx, acme, lead.Defaults(), lead.IdempotencyKey{})
		return err
	}))
	fmt.Print(noOther)
	row("retrieve", measure(5, func() error {
		_, err := table.Retrieve(ctx, acme, made.ID)
		return err
	}))
	fmt.Print(noOther)
	row("update", measure(5, func() error {
		_, err := table.Update(ctx, acme, made.ID, []lead.Change{{Field: 0, Value: "Ada Lovelace"}}, lead.Precondition{})
		return err
	}))
	fmt.Print(noOther)
	row("delete", measure(1, func() error { return table.Delete(ctx, acme, made.ID, lead.Precondition{}) }))
	fmt.Print(noOther)
	now = now.Add(time.Hour)
	old, _, err := table.ListAt(ctx, acme, 1, int64(h.leads-10))
	if err != nil {
		b.Fatal(err)
	}
	row("delete, years later", measure(1, func() error { return table.Delete(ctx, acme, old[0].ID, lead.Precondition{}) }))
	fmt.Print(noOther)
	return perLead
}

// readIndex is the naive way: it counts the rows of the index, or reads the
// first of them and fetches the last twenty leads.
func readIndex(ctx context.Context, client *dynamodb.Client, rows int, count bool) error {
	query := &dynamodb.QueryInput{
		TableName:                 aws.String(dynamotest.TableName),
		IndexName:                 aws.String("created_at"),
		KeyConditionExpression:    aws.String("tenant = :tenant"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":tenant": &types.AttributeValueMemberS{Value: "acme/test"}},
		ScanIndexForward:          aws.Bool(false),
	}
	if count {
		query.Select = types.SelectCount
	}
	var keys []map[string]types.AttributeValue
	read := 0
	for read < rows {
		// A page has no more than 1 MB, some 9,000 rows. The limit changes
		// nothing but that the engine is faster with one.
		query.Limit = aws.Int32(int32(min(rows-read, 10_000)))
		out, err := client.Query(ctx, query)
		if err != nil {
			return err
		}
		read += int(out.Count)
		for _, row := range out.Items {
			keys = append(keys, map[string]types.AttributeValue{"pk": row["pk"], "sk": row["sk"]})
		}
		keys = keys[max(0, len(keys)-20):]
		if query.ExclusiveStartKey = out.LastEvaluatedKey; out.LastEvaluatedKey == nil {
			break
		}
	}
	if read < rows {
		return fmt.Errorf("the index has %d rows, want %d", read, rows)
	}
	if count {
		return nil
	}
	_, err := client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		dynamotest.TableName: {Keys: keys, ConsistentRead: aws.Bool(true)},
	}})
	return err
}

func ratio(times float64) string {
	if times < 10 {
		return fmt.Sprintf("%.1f×", times)
	}
	return thousands(times) + "×"
}

// thousands writes a number without its fraction, and with commas.
func thousands(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
