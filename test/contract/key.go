package contract

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// The lengths of an API key's parts, as the contract gives them.
const (
	prefixLen = len("sk_test_")
	keyIDLen  = 12
	secretLen = 32
	sumLen    = 6
	keyLen    = prefixLen + keyIDLen + secretLen + sumLen
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// spoil returns a copy of a good key with one thing wrong, by the name that
// the scripts use. This is the contract's format written down a second time,
// on purpose: a fault in the product's own code for keys must not hide itself.
func spoil(good, how string) (string, error) {
	if len(good) != keyLen {
		return "", fmt.Errorf("the key %s is not %d characters long, so it cannot be spoilt", Main, keyLen)
	}
	body := []byte(good[:keyLen-sumLen])
	switch how {
	case "wrong-secret":
		change(body[prefixLen+keyIDLen:][:1])
	case "unknown":
		change(body[prefixLen : prefixLen+keyIDLen])
	case "wrong-mode":
		swapped := map[string]string{"sk_test_": "sk_live_", "sk_live_": "sk_test_"}[good[:prefixLen]]
		copy(body, swapped)
	case "bad-checksum":
		last := []byte(good)
		change(last[keyLen-1:])
		return string(last), nil
	case "truncated":
		return good[:keyLen-1], nil
	default:
		return "", fmt.Errorf("there is no key named %q", how)
	}
	return string(body) + checksum(string(body)), nil
}

// change replaces each character with the next of the alphabet.
func change(chars []byte) {
	for i, c := range chars {
		chars[i] = base62[(strings.IndexByte(base62, c)+1)%len(base62)]
	}
}

// checksum is the CRC32 (IEEE) of s in base62, most significant digit first.
func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var digits [sumLen]byte
	for i := range digits {
		digits[sumLen-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}
