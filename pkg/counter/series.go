package counter

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Series names a set of things that is counted: [All], or the things with one
// value in a field, see [SeriesOf].
type Series string

// All is the series of all things.
const All Series = ""

const seriesLength = 11 // characters, 66 bits of a hash

// SeriesOf returns the series of the things whose field has this value.
func SeriesOf(field, value string) Series {
	sum := sha256.Sum256([]byte(field + "=" + value))
	return Series(base64.RawURLEncoding.EncodeToString(sum[:])[:seriesLength])
}

// A span of time is the beginning of a timestamp in UTC: a day, a window of ten
// minutes or a bucket of ten seconds. What sorts between span and span + "~" lies
// in the span.
const (
	dayLength    = len("2026-03-01")
	windowLength = len("2026-03-01T09:3")
	bucketLength = len("2026-03-01T09:34:0")
	secondLength = len("2026-03-01T09:34:07")

	windowTime = 10 * time.Minute

	timestamp = "2006-01-02T15:04:05.000000000Z"
)

// Timestamp returns a time as the sort keys of an index must begin with it.
func Timestamp(t time.Time) string { return t.UTC().Format(timestamp) }

func windowOf(t time.Time) string { return Timestamp(t)[:windowLength] }

func dayOf(span string) string { return span[:min(dayLength, len(span))] }

// SameWindow reports whether two times lie in the same window.
func SameWindow(a, b time.Time) bool { return windowOf(a) == windowOf(b) }

// Bound returns the text that sorts directly before all timestamps from t on. It
// is cut to the whole second, and where a span begins at t it is that span.
func Bound(t time.Time) string {
	text := Timestamp(t)[:secondLength]
	for _, length := range []int{dayLength, windowLength, bucketLength} {
		if text[length:] == "0000-00-00T00:00:00"[length:] {
			return text[:length]
		}
	}
	return text
}

// endOf returns a text after everything in a span. The end of "" is "", which
// sorts before everything.
func endOf(span string) string {
	if span == "" {
		return ""
	}
	return span + "~"
}

func nextDay(day string) string {
	t, _ := time.Parse(time.DateOnly, day) // this package wrote the day
	return t.AddDate(0, 0, 1).Format(time.DateOnly)
}

// The names of the counts in a counter item begin with a letter: created, left,
// deducted (see the package comment).
const (
	created  = 'c'
	left     = 'x'
	deducted = 'd'
)

// fineName returns the name of a count that is kept by bucket for [All], and by
// window for every other series.
func fineName(letter byte, s Series, at string) string {
	if s == All {
		return string([]byte{letter, at[windowLength], at[bucketLength-1]})
	}
	return string(letter) + string(s)
}

// dayName returns the name of a count that is kept by the day of creation.
func dayName(s Series, at string) string {
	return string(deducted) + string(s) + at[2:4] + at[5:7] + at[8:10]
}

// spanOf reads the name of a count in a counter item with this sort key: the
// series and the span of creation that it counts. It returns false for other
// attributes.
func spanOf(sortKey, name string) (letter byte, s Series, span string, ok bool) {
	letter, rest := name[0], name[1:]
	if letter != created && letter != left && letter != deducted {
		return 0, "", "", false
	}
	if len(rest) >= seriesLength {
		s, rest = Series(rest[:seriesLength]), rest[seriesLength:]
	}
	if len(sortKey) < windowLength {
		return 0, "", "", false
	}
	window := sortKey[:windowLength]
	switch {
	case letter == deducted && len(rest) == len("260301"):
		return letter, s, "20" + rest[:2] + "-" + rest[2:4] + "-" + rest[4:], true
	case letter == deducted:
		return 0, "", "", false
	case rest == "":
		return letter, s, window, true
	case s == All && len(rest) == 2:
		return letter, s, window + rest[:1] + ":" + rest[1:], true
	}
	return 0, "", "", false
}

// partition returns the partition key of a kind of items.
func partition(prefix, kind string) string { return prefix + "/" + kind }
