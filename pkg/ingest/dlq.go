package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"unicode/utf8"

	"overplane.dev/leads/pkg/api"
)

// sendToDLQ sends rejected records to the dead-letter queue. The body of a
// message is the body of the record, so that it can be corrected and sent again.
// The attributes are the reason as a sentence, its code as in an error of the
// API, the kind of the source, where the record came from, and the idempotency
// key if the sender gave one.
func (v *invocation) sendToDLQ(ctx context.Context, rejected []record) error {
	if len(rejected) == 0 {
		return nil
	}
	var messages []Message
	for _, r := range rejected {
		code, reason := api.Describe(r.err)
		attributes := map[string]string{
			"reason": sqsText(truncate(reason, 4096)),
			"code":   code,
			"source": r.key.Source,
			"origin": sqsText(truncate(r.origin, 2048)),
		}
		if key, ok := strings.CutPrefix(r.key.Key, "key/"); ok && validateKey(key) == nil {
			attributes[keyName] = key // for the corrected record
		}
		messages = append(messages, Message{Body: sqsText(string(r.body)), ID: dlqID(r), Attributes: attributes})
		v.Log.LogAttrs(ctx, slog.LevelWarn, "record rejected", slog.String("origin", r.origin), slog.String("code", code))
	}
	return v.DeadLetters.Send(ctx, messages)
}

// dlqID returns the deduplication id of a rejected record. It is not made of the
// idempotency key: two records with the same key can both be rejected. It is a
// hash, because SQS allows at most 128 characters.
func dlqID(r record) string {
	sum := sha256.Sum256([]byte(r.key.Source + "/" + r.id))
	return hex.EncodeToString(sum[:])
}

// sqsText returns a text that SQS accepts: not empty, and only with the
// characters of XML 1.0, see
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
func sqsText(s string) string {
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
