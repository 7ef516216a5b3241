package counter

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Counts are numbers of things by the span of their creation. No two of the
// spans overlap.
type counts map[string]int64

func (c counts) sum() (n int64) {
	for _, m := range c {
		n += m
	}
	return n
}

// find returns the span with the thing at an offset from the newest, and its
// offset within the span. If the counts have fewer things, it returns the oldest
// span, and an offset that is beyond its end.
func (c counts) find(offset int64) (span string, rest int64) {
	spans := slices.Sorted(maps.Keys(c))
	for i, span := range slices.Backward(spans) {
		if offset < c[span] || i == 0 {
			return span, offset
		}
		offset -= max(c[span], 0)
	}
	return "", offset
}

// addDays adds to the numbers by day of creation what an item changes in them.
// That is c - d.
func (c counts) addDays(it item, s Series) {
	eachCount(it, func(letter byte, of Series, span string, n int64) {
		switch {
		case of != s:
		case letter == created:
			c[dayOf(span)] += n
		case letter == deducted:
			c[span] -= n
		}
	})
}

// addSpans adds to the numbers by bucket or window of creation what an item
// changes in them. That is c - x.
func (c counts) addSpans(it item, s Series) {
	eachCount(it, func(letter byte, of Series, span string, n int64) {
		switch {
		case of != s:
		case letter == created:
			c[span] += n
		case letter == left:
			c[span] -= n
		}
	})
}

// pieces cuts the time from one bound to before another into spans that are
// counted whole: days, and at its edges spans of a day. Edge counts the things in
// the part of a span that a bound lies in.
func (c counts) pieces(from, to string, spansOf func(day string) (counts, error), edge func(from, to string) (int64, error)) (counts, error) {
	pieces := counts{}
	cut := func(some counts, inPart func(span string) error) error {
		for span, n := range some {
			switch {
			case span >= to || endOf(span) <= from:
			case span >= from && endOf(span) <= to:
				pieces[span] = n
			case n != 0:
				if err := inPart(span); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := cut(c, func(day string) error {
		spans, err := spansOf(day)
		if err != nil {
			return err
		}
		return cut(spans, func(span string) (err error) {
			pieces[span], err = edge(max(from, span), min(to, endOf(span)))
			return err
		})
	})
	return pieces, err
}

// snapshot says how many things of a series there are at the end of a sealed
// window: in all, or by the day of their creation.
type snapshot struct {
	series  Series
	isTotal bool   // sums has the number of all things, for ""
	through string // the window, "" before all
	sums    counts // by day
}

const (
	attrPK = "pk"
	attrSK = "sk"

	attrThrough = "through" // the last window that is counted
	attrTotal   = "total"
	attrFirst   = "first" // the first day
	attrDays    = "days"  // the numbers of each day from the first on

	countersKind = "counters"
	snapshotKind = "snapshot"

	lastItem = "}" // after all counter items
	totalKey = "~" // after that, so that one query reads the total and the newest counter items
)

// key returns the key of the item that stores the snapshot.
func (sn *snapshot) key(prefix string) item {
	if sn.isTotal {
		return itemKey(partition(prefix, countersKind), totalKey)
	}
	return itemKey(partition(prefix, snapshotKind), "s"+string(sn.series))
}

// item returns the item that stores the snapshot.
func (sn *snapshot) item(prefix string) item {
	it := sn.key(prefix)
	it[attrThrough] = text(sn.through)
	if sn.isTotal {
		it[attrTotal] = number(sn.sums.sum())
	} else if days := slices.Sorted(maps.Keys(sn.sums)); len(days) > 0 {
		var numbers []string
		for day := days[0]; day <= days[len(days)-1]; day = nextDay(day) {
			numbers = append(numbers, strconv.FormatInt(sn.sums[day], 10))
		}
		it[attrFirst], it[attrDays] = text(days[0]), text(strings.Join(numbers, " "))
	}
	return it
}

// parse reads the item that stores the snapshot.
func (sn *snapshot) parse(it item) {
	sn.through, sn.sums = stringOf(it[attrThrough]), counts{}
	if sn.isTotal {
		sn.sums[""] = numberOf(it[attrTotal])
	}
	day := stringOf(it[attrFirst])
	for number := range strings.FieldsSeq(stringOf(it[attrDays])) {
		if n, _ := strconv.ParseInt(number, 10, 64); n != 0 {
			sn.sums[day] = n
		}
		day = nextDay(day)
	}
}

// add adds the counts of an item to numbers that have the keys of the snapshot.
func (sn *snapshot) add(sums counts, it item) {
	days := counts{}
	days.addDays(it, sn.series)
	if sn.isTotal {
		days = counts{"": days.sum()}
	}
	for key, n := range days {
		sums[key] += n
	}
}

// A snapshot is stored again when the items since are more than maxItems, or
// larger than maxBytes, which is nearly a read unit of 4 KB.
const (
	maxItems = 12
	maxBytes = 3000
)

// summary adds counter items to a snapshot, those of the oldest window first.
type summary struct {
	snapshot
	sealed string // the last window that is sealed
	open   counts // of the windows after that
	recent []RecentKey

	items, size, sealedSize int // of the items since the snapshot
}

func (s *summary) addItem(it item) {
	window := windowOfItem(it)
	if window <= s.through {
		return
	}
	s.items++
	s.size += sizeOf(it)
	if window <= s.sealed {
		s.sealedSize += sizeOf(it)
		s.add(s.sums, it)
		return
	}
	s.add(s.open, it)
	s.recent = append(s.recent, parseRecent(it)...)
}

// isOld reports whether the snapshot should be stored as it is at the last sealed
// window: if there are many items since, and enough of them are sealed.
func (s *summary) isOld() bool {
	isLarge := s.items > maxItems || s.size > maxBytes
	return s.sealed > s.through && (s.through == "" || isLarge && 3*s.sealedSize > s.size)
}

// all returns the numbers of the snapshot and the items since.
func (s *summary) all() counts {
	all := maps.Clone(s.sums)
	for key, n := range s.open {
		all[key] += n
	}
	return all
}
