package lead

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// ID identifies a lead: "lead_" and a ULID (https://github.com/ulid/spec) in lower
// case, 26 characters of Crockford's base32. Its 128 bits are 48 of Unix
// milliseconds, 20 of nanoseconds within the millisecond, and 60 random bits. Ids
// therefore sort by the time of creation, and an id contains this time.
type ID string

const (
	idPrefix   = "lead_"
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	idLength   = len(idPrefix) + 26
	randomBits = 60
)

func newID(t time.Time, random uint64) ID {
	// The two halves of the 128 bits. Both hold a part of the nanoseconds.
	ms, ns := uint64(t.UnixMilli()), uint64(t.Nanosecond()%1e6)
	return idOfHalves(ms<<16|ns>>4, ns<<randomBits|random&(1<<randomBits-1))
}

func idOfHalves(hi, lo uint64) ID {
	var text [idLength]byte
	copy(text[:], idPrefix)
	for i := idLength - 1; i >= len(idPrefix); i-- {
		text[i] = idAlphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return ID(text[:])
}

// Bytes returns the 128 bits of the id, which must be well formed (see [ParseID]).
func (id ID) Bytes() (b [16]byte) {
	var hi, lo uint64
	for _, c := range []byte(id[len(idPrefix):]) {
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(strings.IndexByte(idAlphabet, c))
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b
}

// IDOfBytes returns the id with these bits, see [ID.Bytes].
func IDOfBytes(b [16]byte) ID {
	return idOfHalves(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// ParseID reports whether text has the form of an id. It does not tell whether
// there is such a lead.
func ParseID(text string) (ID, bool) {
	if len(text) != idLength || !strings.HasPrefix(text, idPrefix) || text[len(idPrefix)] > '7' {
		return "", false
	}
	for i := len(idPrefix); i < idLength; i++ {
		if strings.IndexByte(idAlphabet, text[i]) < 0 {
			return "", false
		}
	}
	return ID(text), true
}

// Time returns when the lead was created, in UTC, to the nanosecond. The id must
// be well formed (see [ParseID]).
func (id ID) Time() time.Time {
	digits := id[len(idPrefix):]
	return time.UnixMilli(base32(digits[:10])).Add(time.Duration(base32(digits[10:14]))).UTC()
}

func base32(digits ID) (n int64) {
	for _, c := range []byte(digits) {
		n = n<<5 | int64(strings.IndexByte(idAlphabet, c))
	}
	return n
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
