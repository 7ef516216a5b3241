// Package apikey creates and checks the API keys that clients send as
//
//	Authorization: Bearer sk_test_...
//
// The text of a key has four parts:
//
//	sk_test_ or sk_live_   the kind of secret, and the mode
//	12 characters          the id of the key, which is public and appears in logs
//	32 characters          the secret, 190 bits
//	 6 characters          the CRC-32 (IEEE) of the other parts, in base 62
//
// All characters after the prefix are letters and digits, so that a double click
// selects a key and no shell or URL needs to quote it. The checksum lets [Parse]
// reject a mistyped or invented key without a database request.
//
// [NewKey] creates a key. The stored [Key] has only the SHA-256 of the text. A
// slow hash is not needed, because nobody can guess 190 random bits. An
// [Authenticator] finds the stored key for a text.
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

// WarmUpID is the id in the key of the request with which a function warms up. No
// stored key has it, and a [Store] may do something useful in its place.
const WarmUpID = "000000000000"

const (
	secretLen   = 32
	checksumLen = 6
)

// A Key is the stored form of an API key.
type Key struct {
	ID        string            // public
	Hash      [sha256.Size]byte // SHA-256 of the whole text
	Tenant    lead.Tenant       // whose leads the key gives access to
	Scopes    Scopes            // what the key permits
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
}

// NewKey creates a key for tenant. It returns the text that the client sends,
// which is not stored and cannot be recovered, and the Key to store. A zero
// expires means never. The times of the Key are in UTC, in whole seconds.
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

// WarmUpKey returns the text of a key with the id WarmUpID.
func WarmUpKey() string {
	text := prefix(lead.Test) + WarmUpID + strings.Repeat("0", secretLen)
	return text + checksum(text)
}

// Parse returns the id and the mode in the text of a key. It returns false if
// the text is malformed or its checksum is wrong. A key with a well-formed text
// need not exist: anyone can compute a checksum.
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
		// A copy, so that a cached id does not keep the secret in memory.
		return strings.Clone(rest[:IDLength]), mode, true
	}
	return "", "", false
}

func prefix(mode lead.Mode) string {
	return "sk_" + string(mode) + "_"
}

// base62 contains the digits of a checksum in order. Keys consist of them.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// checksum returns the CRC-32 (IEEE 802.3) of text in base 62, most significant
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
	// The largest multiple of 62 up to 256. Larger bytes are discarded: using
	// them modulo 62 would make the first characters more likely.
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
	// ErrNotFound means that there is no key with the id.
	ErrNotFound = errors.New("there is no API key with this id")
	// ErrInvalid means that the text is not a valid key: it is malformed,
	// unknown, wrong, expired or revoked. The error does not tell which,
	// because that would only help an attacker.
	ErrInvalid = errors.New("the API key is not valid")
)
