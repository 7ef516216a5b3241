package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"unicode/utf8"

	"overplane.dev/leads/pkg/api"
)

// letter is a record that can never become a lead, and why.
type letter struct {
	record
	why error
}

// bury puts dead letters into their queue. A letter's body is the record's, so
// that it can be mended and sent again; beside it stand the reason as a
// sentence, its code as in an error of the API, the kind of source, and where
// the record came from.
func (d *delivery) bury(letters []letter) error {
	if len(letters) == 0 {
		return nil
	}
	var dead []Message
	for _, l := range letters {
		code, reason := api.Describe(l.why)
		dead = append(dead, Message{
			Body: legal(string(l.body)),
			ID:   letterID(l.record),
			Attributes: map[string]string{
				"reason": legal(cut(reason, 4096)),
				"code":   code,
				"source": l.once.Source,
				"origin": legal(cut(l.origin, 2048)),
			},
		})
		d.Log.LogAttrs(d.ctx, slog.LevelWarn, "refused", slog.String("origin", l.origin), slog.String("code", code))
	}
	return d.DeadLetters.Send(d.ctx, dead)
}

// fail counts and logs a record that is to be delivered again.
func (d *delivery) fail(origin string, err error) {
	d.failed++
	d.Log.LogAttrs(d.ctx, slog.LevelError, "failed", slog.String("origin", origin), slog.String("error", err.Error()))
}

// letterID returns the id of a record's dead letter: not that of the lead,
// because two records with one idempotency key may both be refused. An id is
// of at most 128 characters.
func letterID(r record) string {
	sum := sha256.Sum256([]byte(r.once.Source + "/" + r.id))
	return hex.EncodeToString(sum[:])
}

// legal returns a text as SQS takes it: not empty, and of the characters of XML
// 1.0, see
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
func legal(s string) string {
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

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
