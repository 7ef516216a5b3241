package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Rejected is a record that can never be processed: an invalid lead, or an
// unreadable record of the table's stream.
type Rejected struct {
	Body   []byte // of the record, so that it can be corrected and sent again
	ID     string // at the source, the same in all deliveries of the record
	Source string // the kind of the source, such as "sqs"
	Origin string // where the record comes from, for people
	Code   string // as in an error of the API
	Reason string // a sentence
	Key    string // the sender's idempotency key, or ""
	Type   string // "lead.upsert", or "" for a create
}

// Message returns the message for the DLQ. Its deduplication id is not made of
// the idempotency key: two records with the same key can both be rejected. It is
// a hash, because SQS allows at most 128 characters.
func (r Rejected) Message() Message {
	sum := sha256.Sum256([]byte(r.Source + "/" + r.ID))
	m := Message{
		Body: validText(string(r.Body)),
		ID:   hex.EncodeToString(sum[:]),
		Attributes: map[string]string{
			"reason": validText(truncate(r.Reason, 4096)),
			"code":   r.Code,
			"source": r.Source,
			"origin": validText(truncate(r.Origin, 2048)),
		},
	}
	if r.Key != "" {
		m.Attributes[KeyAttribute] = r.Key
	}
	if r.Type != "" {
		m.Attributes[TypeAttribute] = r.Type
	}
	return m
}

// KeyAttribute is the message attribute with the idempotency key of the sender.
const KeyAttribute = "idempotency_key"

// TypeAttribute is the message attribute that says what to do with a lead.
const TypeAttribute = "detail-type"

// validText returns a text that SQS accepts: not empty, and only with the
// characters of XML 1.0, see
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
func validText(s string) string {
	if s == "" {
		return " "
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\ufffe' || r == '\uffff' {
			return utf8.RuneError
		}
		return r
	}, s)
}

// truncate cuts a text that is longer than n bytes.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
