package ingest_test

import (
	"os"
	"strings"
	"testing"
)

// TestSamples sends the events of the folder events, which are there for
// sam local invoke IngestLeads.
func TestSamples(t *testing.T) {
	for name, want := range map[string]struct {
		names         string
		queue, letter int
	}{
		"sqs":          {names: "Ada Lovelace"},
		"sqs-fifo":     {names: "Ada Lovelace, Bob"},
		"sqs-poisoned": {letter: 1},
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
			w := newWorld(t)
			w.files["leads-imports/in/March 2026.csv"] = struct{ etag, text string }{"0123456789abcdef0123456789abcdef", "lead_name\nAda\n"}
			if _, failure := w.invoke(t, string(event)); failure != "" {
				t.Fatal(failure)
			}
			names := strings.Join(w.names(t), ", ")
			if names != want.names || len(w.queue.sent) != want.queue || len(w.dead.sent) != want.letter {
				t.Errorf("leads %q, %d messages, %d dead letters, want %+v", names, len(w.queue.sent), len(w.dead.sent), want)
			}
		})
	}
}
