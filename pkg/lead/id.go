package lead

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// ID names a lead: "lead_" and a ULID in lower case, 26 characters of
// Crockford's base32. Its 128 bits are 48 of Unix milliseconds, 20 of
// nanoseconds within the millisecond, and 60 of chance, so that ids sort by
// the time of creation and an id alone tells when its lead was made.
//
// See https://github.com/ulid/spec.
type ID string

const (
	idPrefix   = "lead_"
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	idLength   = len(idPrefix) + 26
	chanceBits = 60
)

func newID(t time.Time, chance uint64) ID {
	// The two halves of the 128 bits; the nanoseconds straddle them.
	ms, ns := uint64(t.UnixMilli()), uint64(t.Nanosecond()%1e6)
	hi := ms<<16 | ns>>4
	lo := ns<<chanceBits | chance&(1<<chanceBits-1)

	var text [idLength]byte
	copy(text[:], idPrefix)
	for i := idLength - 1; i >= len(idPrefix); i-- {
		text[i] = idAlphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return ID(text[:])
}

// ParseID reports whether text has the form of an id. Most texts of that form
// name no lead; only a store knows.
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

// Time returns when the lead was created, in UTC, to the nanosecond. The id
// must have the form of one.
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

// Random returns the part of the id that is chance, 12 characters. It orders
// leads that were created in the same nanosecond.
func (id ID) Random() string { return string(id[idLength-chanceBits/5:]) }

// IDGenerator makes ids. Within one IDGenerator each id is greater than the one before it,
// also when the clock stands still or is set back. The zero value is ready,
// and safe for concurrent use.
type IDGenerator struct {
	mu   sync.Mutex
	last time.Time
}

// Next returns a new id for a lead created now.
func (m *IDGenerator) Next(now time.Time) ID {
	var chance [8]byte
	rand.Read(chance[:]) // never fails, see crypto/rand

	m.mu.Lock()
	if now = now.Round(0); !now.After(m.last) {
		now = m.last.Add(time.Nanosecond)
	}
	m.last = now
	m.mu.Unlock()
	return newID(now, binary.BigEndian.Uint64(chance[:]))
}
