// Package apikey makes and checks the keys that clients send as
//
//	Authorization: Bearer sk_test_...
//
// A key's text has four parts:
//
//	sk_test_  or sk_live_: the kind of secret, and the mode
//	12 characters          the key's id, public: logs and lists show it
//	32 characters          the secret, 190 bits
//	 6 characters          CRC-32 (IEEE) of all before, in base 62
//
// All but the prefix is letters and digits, so that a double click selects a
// key and no shell or URL needs to quote it. The checksum lets [Parse] refuse a
// mistyped or invented key without asking a database.
//
// [NewKey] makes a key. What is stored, a [Key], holds only the SHA-256 of the
// text: with 190 random bits there is nothing to guess, so a slow hash would
// only cost time. An [Authenticator] finds out who a given text belongs to.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"strings"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// IDLength is the number of characters of a key's id.
const IDLength = 12

const (
	secretLen   = 32
	checksumLen = 6
)

// A Key is what is stored of an API key.
type Key struct {
	ID        string            // the key's public name
	Hash      [sha256.Size]byte // SHA-256 of the key's whole text
	Tenant    lead.Tenant       // whose leads the key reaches
	Scopes    Scopes            // what it may do with them
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
}

// NewKey makes a key for tenant. The text is what the client sends; it exists
// nowhere else and cannot be had a second time. The Key is what to store.
// A zero expires means never. Times are kept in UTC to the second.
func NewKey(tenant lead.Tenant, scopes Scopes, now, expires time.Time) (text string, key Key) {
	id := randomText(IDLength)
	text = prefix(tenant.Mode) + id + randomText(secretLen)
	text += checksum(text)
	return text, Key{
		ID:        id,
		Hash:      sha256.Sum256([]byte(text)),
		Tenant:    tenant,
		Scopes:    scopes,
		CreatedAt: now.UTC().Truncate(time.Second),
		ExpiresAt: expires.UTC().Truncate(time.Second),
	}
}

// Parse returns the id and the mode that a key's text names. It is not ok when
// the text has another form or its checksum is wrong. That it is ok says
// nothing about whether the key exists: anyone can compute a checksum.
func Parse(text string) (id string, mode lead.Mode, ok bool) {
	for _, mode := range []lead.Mode{lead.Test, lead.Live} {
		rest, found := strings.CutPrefix(text, prefix(mode))
		if !found || len(rest) != IDLength+secretLen+checksumLen {
			continue
		}
		body, sum := text[:len(text)-checksumLen], text[len(text)-checksumLen:]
		if !alphanumeric(rest) || checksum(body) != sum {
			continue
		}
		// A copy, so that whoever keeps the id does not keep the secret.
		return strings.Clone(rest[:IDLength]), mode, true
	}
	return "", "", false
}

func prefix(mode lead.Mode) string {
	return "sk_" + string(mode) + "_"
}

// base62 are the digits of a checksum, in order, and the characters of a key.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// checksum is the CRC-32 (IEEE 802.3) of text in base 62, most significant
// digit first, padded with zeros. Six digits hold any 32 bits.
func checksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var digits [checksumLen]byte
	for i := range digits {
		digits[checksumLen-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}

func alphanumeric(text string) bool {
	return strings.Trim(text, base62) == ""
}

// randomText returns n letters and digits, each equally likely.
func randomText(n int) string {
	// The largest multiple of 62 that a byte can hold. Bytes from there on are
	// drawn again: folding them in would favour the first characters.
	const limit = 256 / 62 * 62
	text := make([]byte, 0, n)
	var random [64]byte
	for len(text) < n {
		rand.Read(random[:]) // never fails, see crypto/rand
		for _, b := range random {
			if b < limit && len(text) < n {
				text = append(text, base62[b%62])
			}
		}
	}
	return string(text)
}

// Errors of a Store and of an Authenticator.
var (
	// ErrNotFound means that no key has the id.
	ErrNotFound = errors.New("there is no API key with this id")
	// ErrInvalid means that the text is not a key that works now: malformed,
	// unknown, wrong, expired or revoked. Which of them it is stays unsaid,
	// since the answer would help only someone who guesses.
	ErrInvalid = errors.New("the API key is not valid")
)
