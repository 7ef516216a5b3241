package counter

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

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
// offset within the span. Where the counts are fewer, that is more than the oldest
// span has.
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

// eachOfAll calls f for each count in a counter item.
func eachOfAll(it item, f func(letter byte, s Series, span string, n int64)) {
	sortKey := stringOf(it[attrSK])
	for name, value := range it {
		letter, s, span, ok := spanOf(sortKey, name)
		if n, isNumber := value.(*types.AttributeValueMemberN); ok && isNumber {
			f(letter, s, span, numberOf(n))
		}
	}
}

// eachCount calls f for each count of a series in a counter item.
func eachCount(it item, s Series, f func(letter byte, span string, n int64)) {
	eachOfAll(it, func(letter byte, of Series, span string, n int64) {
		if of == s {
			f(letter, span, n)
		}
	})
}

// addDays adds to the numbers by day of creation what an item changes in them.
// That is c - d.
func (c counts) addDays(it item, s Series) {
	eachCount(it, s, func(letter byte, span string, n int64) {
		switch letter {
		case created:
			c[dayOf(span)] += n
		case deducted:
			c[span] -= n
		}
	})
}

// addSpans adds to the numbers by bucket or window of creation what an item
// changes in them. That is c - x.
func (c counts) addSpans(it item, s Series) {
	eachCount(it, s, func(letter byte, span string, n int64) {
		switch letter {
		case created:
			c[span] += n
		case left:
			c[span] -= n
		}
	})
}

// pieces cuts the time from one bound to before another into spans that are
// counted whole: days, and at its edges spans of a day. A span that one of the
// bounds lies in is counted by edge.
func (c counts) pieces(from, to string, spansOf func(day string) (counts, error), edge func(span string, whole int64) (int64, error)) (counts, error) {
	pieces := counts{}
	cut := func(some counts, inPart func(span string, n int64) error) error {
		for span, n := range some {
			switch {
			case span >= to || endOf(span) <= from:
			case span >= from && endOf(span) <= to:
				pieces[span] = n
			case n != 0:
				if err := inPart(span, n); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := cut(c, func(day string, _ int64) error {
		spans, err := spansOf(day)
		if err != nil {
			return err
		}
		return cut(spans, func(span string, n int64) (err error) {
			pieces[span], err = edge(span, n)
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

// with returns the snapshot as it is after the items that it does not count yet,
// through a window.
func (sn snapshot) with(items []item, through string) snapshot {
	sums := counts{}
	maps.Copy(sums, sn.sums)
	for _, it := range items {
		if window := windowOfItem(it); window <= sn.through || window > through {
			continue
		}
		days := counts{}
		days.addDays(it, sn.series)
		for day, n := range days {
			sums[sn.keyOf(day)] += n
		}
	}
	sn.through, sn.sums = through, sums
	return sn
}

// keyOf returns the key of a day in the sums.
func (sn snapshot) keyOf(day string) string {
	if sn.isTotal {
		return ""
	}
	return day
}

func (sn snapshot) sortKey() string {
	if sn.isTotal {
		return totalKey
	}
	return "s" + string(sn.series)
}

// item returns the item that stores the snapshot.
func (sn snapshot) item(prefix string) item {
	if sn.isTotal {
		it := itemKey(partition(prefix, countersKind), sn.sortKey())
		it[attrThrough], it[attrTotal] = text(sn.through), number(sn.sums[""])
		return it
	}
	it := itemKey(partition(prefix, snapshotKind), sn.sortKey())
	it[attrThrough] = text(sn.through)
	if days := slices.Sorted(maps.Keys(sn.sums)); len(days) > 0 {
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

// windowOfItem returns the window of a counter item.
func windowOfItem(it item) string {
	sortKey := stringOf(it[attrSK])
	return sortKey[:min(windowLength, len(sortKey))]
}

// sizeOf returns how many bytes an item has, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html.
func sizeOf(it item) (size int) {
	for name, value := range it {
		size += len(name) + len(stringOf(value))
		if n, ok := value.(*types.AttributeValueMemberN); ok {
			size += len(strings.Trim(n.Value, "-0"))/2 + 2
		}
	}
	return size
}

func itemKey(pk, sk string) item { return item{attrPK: text(pk), attrSK: text(sk)} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func stringOf(a types.AttributeValue) string {
	if s, ok := a.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func numberOf(a types.AttributeValue) int64 {
	n, ok := a.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, _ := strconv.ParseInt(n.Value, 10, 64)
	return i
}
