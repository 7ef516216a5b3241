package counter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"
)

// thing is a thing that is counted.
type thing struct {
	at     time.Time
	series Series // beside All
}

// ledger applies changes to counter items in memory, and keeps the things in a
// plain list.
type ledger struct {
	items  map[string]item
	shards [3]*Shard
	things []thing // in order of creation
}

func newLedger() *ledger {
	return &ledger{items: map[string]item{}, shards: [3]*Shard{{number: 0}, {number: 1}, {number: 7}}}
}

func (l *ledger) write(c *Change, shard *Shard) {
	add := func(sortKey string, counts map[string]int64) {
		it := l.items[sortKey]
		if it == nil {
			it = itemKey("acme/counters", sortKey)
			l.items[sortKey] = it
		}
		for name, n := range counts {
			it[name] = number(numberOf(it[name]) + n)
		}
	}
	c.Writes("leads", "acme", shard)
	for _, p := range c.parts {
		add(p.sortKey, p.counts)
	}
	shard.Written(c)
}

func (l *ledger) has(s Series, from, to string) (in []thing) {
	for _, th := range l.things {
		if at := Timestamp(th.at); (s == All || s == th.series) && at >= from && at < to {
			in = append(in, th)
		}
	}
	return in
}

// TestCountsAreThoseOfAPlainList makes things, moves them between series and
// removes them, at times that are minutes to days apart, and compares every
// number, place and range with a plain list.
func TestCountsAreThoseOfAPlainList(t *testing.T) {
	series := []Series{SeriesOf("status", "Lead"), SeriesOf("status", "Open"), SeriesOf("status", "Lost")}
	rapid.Check(t, func(t *rapid.T) {
		l, now := newLedger(), time.Date(2026, 2, 28, 23, 41, 3, 0, time.UTC)
		draw := func(n int, label string) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		for range rapid.IntRange(1, 80).Draw(t, "changes") {
			now = now.Add([]time.Duration{1, time.Second, 8 * time.Second, 4 * time.Minute, time.Hour, 26 * time.Hour}[draw(6, "pass")])
			c, shard := NewChange(now), l.shards[draw(3, "shard")]
			s := series[draw(3, "series")]
			switch what := draw(5, "what"); {
			case what < 3 || len(l.things) == 0:
				at := now
				if draw(6, "clock") == 0 { // a thing of another window is counted as well
					at = now.Add(-20 * time.Minute)
				}
				c.Count(All, at, 1)
				c.Count(s, at, 1)
				l.things = append(l.things, thing{at, s})
				slices.SortStableFunc(l.things, func(a, b thing) int { return a.at.Compare(b.at) })
			case what == 3:
				th := &l.things[draw(len(l.things), "moved")]
				if th.series == s {
					continue
				}
				c.Count(th.series, th.at, -1)
				c.Count(s, th.at, 1)
				th.series = s
			default:
				i := draw(len(l.things), "removed")
				th := l.things[i]
				c.Count(All, th.at, -1)
				c.Count(th.series, th.at, -1)
				l.things = slices.Delete(l.things, i, i+1)
			}
			l.write(c, shard)
		}

		s := append(series, All)[draw(4, "series to check")]
		days := counts{}
		spans := map[string]counts{}
		for _, it := range l.items {
			days.addDays(it, s)
			day := dayOf(windowOfItem(it))
			if spans[day] == nil {
				spans[day] = counts{}
			}
			spans[day].addSpans(it, s)
		}
		all := l.has(s, "", "~")
		if days.sum() != int64(len(all)) {
			t.Fatalf("the days have %d things, want %d", days.sum(), len(all))
		}
		for _, c := range append(slices.Collect(maps.Values(spans)), days) {
			for span, n := range c {
				if want := len(l.has(s, span, endOf(span))); n != int64(want) {
					t.Fatalf("%s has %d things, want %d", span, n, want)
				}
			}
		}
		for offset := range all {
			day, rest := days.find(int64(offset))
			span, rest := spans[day].find(rest)
			in := l.has(s, span, endOf(span))
			if got, want := in[len(in)-1-int(rest)], all[len(all)-1-offset]; got != want {
				t.Fatalf("at offset %d there is %v, want %v", offset, got, want)
			}
		}

		if len(all) == 0 {
			return
		}
		bound := func(label string) string {
			at := all[draw(len(all), label)].at
			return Bound(at.Truncate([]time.Duration{time.Second, 10 * time.Second, 10 * time.Minute, 24 * time.Hour}[draw(4, "rounded")]))
		}
		from, to := bound("from"), bound("to")
		edges := 0
		pieces, err := days.pieces(from, to,
			func(day string) (counts, error) { return spans[day], nil },
			func(from, to string) (int64, error) {
				edges++
				return int64(len(l.has(s, from, to))), nil
			})
		if want := len(l.has(s, from, to)); err != nil || pieces.sum() != int64(want) || edges > 2 {
			t.Fatalf("from %s to %s: %d things in %v, want %d; %d edges, error %v", from, to, pieces.sum(), pieces, want, edges, err)
		}
	})
}

// TestSnapshotsKeepTheDays brings a snapshot forward and stores it in between.
func TestSnapshotsKeepTheDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, now := newLedger(), time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC)
		s := SeriesOf("status", "Open")
		for range rapid.IntRange(1, 50).Draw(t, "changes") {
			now = now.Add(time.Duration(rapid.IntRange(1, 5*3600).Draw(t, "pass")) * time.Second)
			c := NewChange(now)
			if rapid.Bool().Draw(t, "created") || len(l.things) == 0 {
				c.Count(All, now, 1)
				c.Count(s, now, 1)
				l.things = append(l.things, thing{now, s})
			} else {
				c.Count(All, l.things[0].at, -1)
				c.Count(s, l.things[0].at, -1)
				l.things = l.things[1:]
			}
			l.write(c, l.shards[0])
		}
		var items []item
		for _, sortKey := range slices.Sorted(maps.Keys(l.items)) {
			items = append(items, l.items[sortKey])
		}
		for _, sn := range []snapshot{{series: s}, {series: All}, {series: All, isTotal: true}} {
			for stops := rapid.IntRange(0, 3).Draw(t, "stops"); stops >= 0; stops-- {
				sn.parse(sn.item("acme"))
				sum := summary{snapshot: sn, open: counts{}, sealed: windowOfItem(items[rapid.IntRange(0, len(items)-1).Draw(t, "stop")])}
				for _, it := range items {
					sum.addItem(it)
				}
				if sum.sealed > sn.through {
					sn.sums, sn.through = sum.sums, sum.sealed
				}
				days, all := counts{}, sum.all()
				for _, th := range l.has(s, "", "~") {
					days[dayOf(Timestamp(th.at))]++
				}
				if sn.isTotal {
					days = counts{"": days.sum()}
				}
				maps.DeleteFunc(all, func(_ string, n int64) bool { return n == 0 })
				maps.DeleteFunc(days, func(_ string, n int64) bool { return n == 0 })
				if !maps.Equal(all, days) {
					t.Fatalf("a snapshot of %q through %s has %v, want %v", sn.series, sn.through, all, days)
				}
			}
		}
	})
}

func TestBounds(t *testing.T) {
	for at, want := range map[string]string{
		"2026-03-01T00:00:00Z": "2026-03-01",
		"2026-03-01T09:30:00Z": "2026-03-01T09:3",
		"2026-03-01T09:34:00Z": "2026-03-01T09:34:0",
		"2026-03-01T09:34:10Z": "2026-03-01T09:34:1",
		"2026-03-01T09:34:07Z": "2026-03-01T09:34:07",
	} {
		text, err := time.Parse(time.RFC3339, at)
		if got := Bound(text); err != nil || got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// TestWindowsAreSealedByTheDateOfAnswers checks that the local clock does not
// matter.
func TestWindowsAreSealedByTheDateOfAnswers(t *testing.T) {
	local := time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC)
	c := &Clock{Local: func() time.Time { return local }}
	if got := c.sealed(); got != "" {
		t.Errorf("before the first answer %s is sealed", got)
	}
	for date, want := range map[string]string{ // a window ends, and 16 minutes later it is sealed
		"2026-03-01T12:15:59Z": "2026-03-01T11:4",
		"2026-03-01T12:16:00Z": "2026-03-01T11:5",
		"2026-03-01T12:25:59Z": "2026-03-01T11:5",
	} {
		at, _ := time.Parse(time.RFC3339, date)
		c.Observe(at)
		if got := c.sealed(); got != want {
			t.Errorf("at %s %s is sealed, want %s", date, got, want)
		}
		if got := c.Now(); !got.Equal(at) {
			t.Errorf("the clock says %v, want %v", got, at)
		}
	}
	c.Observe(local.Add(-time.Second))
	if got := c.Now(); !got.Equal(local) {
		t.Errorf("a clock that is right was corrected to %v", got)
	}
}

func TestPagesDoubleWhenTheyAreFull(t *testing.T) {
	s := &Shard{}
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	sizes := map[string]int{}
	names := map[string]map[string]bool{}
	for i := range 2000 {
		c := NewChange(now)
		c.Count(All, now, 1)
		c.Count(SeriesOf("owner", fmt.Sprint(i%300)), now, 1)
		c.Writes("leads", "acme/test", s)
		s.Written(c)
		page := c.parts[0].sortKey
		if names[page] == nil {
			names[page] = map[string]bool{}
		}
		for name := range c.now {
			if !names[page][name] {
				names[page][name] = true
				sizes[page] += countSize(name)
			}
		}
	}
	for page, size := range sizes {
		if size > pageSize {
			t.Errorf("%s has %d bytes", page, size)
		}
	}
	if len(sizes) > 32 {
		t.Errorf("300 owners take %d pages", len(sizes))
	}
}

// TestTwoPagesAreRefused refuses both parts of a change. The page of the first is
// full, so the shard gets another number. The page of the second has room.
func TestTwoPagesAreRefused(t *testing.T) {
	shards := Shards{}
	shard := shards.Acquire()
	number := shard.number
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	c := NewChange(now)
	c.Count(All, now.Add(-time.Hour), -1)
	if n := len(c.Writes("leads", "acme/test", shard)); n != 2 {
		t.Fatalf("%d writes, want 2", n)
	}
	one := &types.AttributeValueMemberN{Value: "1"}
	full := item{attrSize: one}
	for i := range pageSize / seriesLength {
		full[string(rune(created))+string(SeriesOf("owner", fmt.Sprint(i)))] = one
	}
	shards.Refused(shard, c, 0, full)
	shards.Refused(shard, c, 1, item{attrSize: one})
	if shard.number == number {
		t.Error("the shard has the same number, although its page is full")
	}
	if n := len(c.Writes("leads", "acme/test", shard)); n != 2 {
		t.Errorf("%d writes after another number, want 2", n)
	}
}

// TestDeletedPageIsWrittenAgain refuses a change because the page that the shard read
// before does not exist any more. The next attempt must not expect its size.
func TestDeletedPageIsWrittenAgain(t *testing.T) {
	shards := Shards{}
	shard := shards.Acquire()
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	c := NewChange(now)
	c.Count(All, now, 1)
	c.Writes("leads", "acme/test", shard)
	shards.Refused(shard, c, 0, nil)
	write := c.Writes("leads", "acme/test", shard)[0].Update
	if !strings.Contains(*write.ConditionExpression, "attribute_not_exists") {
		t.Errorf("the condition is %s", *write.ConditionExpression)
	}
}
