package ingest_test

import (
	"os"
	"strings"
	"testing"
)

// TestSamples handles the events of the folder events, which are samples for
// sam local invoke IngestLeads.
func TestSamples(t *testing.T) {
	for name, want := range map[string]struct {
		names      string
		queue, dlq int
	}{
		"sqs":          {names: "Ada Lovelace"},
		"sqs-fifo":     {names: "Ada Lovelace, Bob"},
		"sqs-poisoned": {dlq: 1},
		"sns":          {names: "Ada Lovelace"},
		"eventbridge":  {names: "Ada Lovelace"},
		"call":         {names: "Ada Lovelace, Bob"},
		"s3":           {queue: 1},
	} {
		t.Run(name, func(t *testing.T) {
			event, err := os.ReadFile("../../events/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			f := newFixture(t)
			f.files["leads-imports/in/March 2026.csv"] = object{etag: "0123456789abcdef0123456789abcdef", text: "lead_name\nAda\n"}
			if _, failure := f.invoke(t, string(event)); failure != "" {
				t.Fatal(failure)
			}
			names := strings.Join(f.names(t), ", ")
			if names != want.names || len(f.queue.sent) != want.queue || len(f.dlq.sent) != want.dlq {
				t.Errorf("leads %q, %d messages, %d in the DLQ, want %+v", names, len(f.queue.sent), len(f.dlq.sent), want)
			}
		})
	}
}
