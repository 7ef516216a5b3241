package ingest

import (
	"context"
	"log/slog"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/queue"
)

// sendToDLQ sends rejected records to the dead-letter queue.
func (v *invocation) sendToDLQ(ctx context.Context, rejected []record) error {
	if len(rejected) == 0 {
		return nil
	}
	var messages []queue.Message
	for _, r := range rejected {
		code, reason := api.Describe(r.err)
		messages = append(messages, queue.Rejected{
			Body: r.body, ID: r.id, Source: r.key.Source, Origin: r.origin,
			Code: code, Reason: reason, Key: r.senderKey,
		}.Message())
		v.Log.LogAttrs(ctx, slog.LevelWarn, "record rejected", slog.String("origin", r.origin), slog.String("code", code))
	}
	return v.DeadLetters.Send(ctx, messages)
}
