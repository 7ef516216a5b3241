package lead

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// ID identifies a lead: "lead_" and a ULID (https://github.com/ulid/spec) in lower
// case, 26 characters of Crockford's base32. Its 128 bits are 48 of Unix
// milliseconds, 20 of nanoseconds within the millisecond, and 60 random bits. Ids
// therefore sort by the time of creation, and an id contains this time.
type ID string

const (
	idPrefix   = "lead_"
	idLength   = len(idPrefix) + ulid.EncodedSize
	randomBits = 60
)

func newID(t time.Time, random uint64) ID {
	// The two halves of the 128 bits. Both hold a part of the nanoseconds.
	ms, ns := uint64(t.UnixMilli()), uint64(t.Nanosecond()%1e6)
	var bits [16]byte
	binary.BigEndian.PutUint64(bits[:8], ms<<16|ns>>4)
	binary.BigEndian.PutUint64(bits[8:], ns<<randomBits|random&(1<<randomBits-1))
	return IDOfBytes(bits)
}

// Bytes returns the 128 bits of the id, which must be well formed (see [ParseID]).
func (id ID) Bytes() [16]byte { return ulid.MustParse(string(id[len(idPrefix):])) }

// IDOfBytes returns the id with these bits, see [ID.Bytes].
func IDOfBytes(b [16]byte) ID { return ID(idPrefix + strings.ToLower(ulid.ULID(b).String())) }

// ParseID reports whether text has the form of an id. It does not tell whether
// there is such a lead.
func ParseID(text string) (ID, bool) {
	digits, ok := strings.CutPrefix(text, idPrefix)
	if _, err := ulid.ParseStrict(digits); !ok || err != nil || digits != strings.ToLower(digits) {
		return "", false
	}
	return ID(text), true
}

// Time returns when the lead was created, in UTC, to the nanosecond. The id must
// be well formed (see [ParseID]).
func (id ID) Time() time.Time {
	bits := id.Bytes()
	hi, lo := binary.BigEndian.Uint64(bits[:8]), binary.BigEndian.Uint64(bits[8:])
	ms, ns := hi>>16, hi<<4&0xffff0|lo>>randomBits
	return time.UnixMilli(int64(ms)).Add(time.Duration(ns)).UTC()
}

// Random returns the random part of the id, 12 characters. It is the order of
// leads that were created in the same nanosecond.
func (id ID) Random() string { return string(id[idLength-randomBits/5:]) }

// IDAt returns the id with this time and [ID.Random] part. It returns false if
// there is no such id.
func IDAt(t time.Time, random string) (ID, bool) {
	if t.UnixMilli() < 0 || t.UnixMilli() >= 1<<48 {
		return "", false
	}
	id := newID(t, 0)
	return ParseID(string(id[:idLength-randomBits/5]) + random)
}

// IDGenerator generates ids. Each id is greater than the one before it, also when
// the clock stands still or is set back. The zero value is ready to use and safe
// for concurrent use.
type IDGenerator struct {
	mu   sync.Mutex
	last time.Time
}

// Next returns a new id for a lead created now.
func (g *IDGenerator) Next(now time.Time) ID {
	var random [8]byte
	rand.Read(random[:]) // never fails, see crypto/rand

	g.mu.Lock()
	if now = now.Round(0); !now.After(g.last) {
		now = g.last.Add(time.Nanosecond)
	}
	g.last = now
	g.mu.Unlock()
	return newID(now, binary.BigEndian.Uint64(random[:]))
}

// Reset allows the next id to be smaller than earlier ones. Call it after a wrong
// clock was corrected.
func (g *IDGenerator) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = time.Time{}
}
