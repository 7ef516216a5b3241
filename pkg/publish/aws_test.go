package publish_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"testing"

	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/test/fakeaws"
)

func TestOpen(t *testing.T) {
	server := fakeaws.Start(t)
	t.Setenv("LEADS_BUS", "leads-test")
	p := publish.Open(slog.New(slog.DiscardHandler))
	event, err := os.ReadFile("../../events/stream.json")
	if err != nil {
		t.Fatal(err)
	}
	invoke := func(t *testing.T) (failures int) {
		t.Helper()
		answer, err := p.Invoke(t.Context(), event)
		var parsed struct{ BatchItemFailures []any }
		if err != nil || json.Unmarshal(answer, &parsed) != nil {
			t.Fatalf("answer %s, error %v", answer, err)
		}
		return len(parsed.BatchItemFailures)
	}

	t.Run("puts events on the bus", func(t *testing.T) {
		if n := invoke(t); n != 0 || len(server.Events) != 3 {
			t.Fatalf("%d failures, %d events, want 0 and 3", n, len(server.Events))
		}
		var e struct{ EventBusName, Source, DetailType, Detail string }
		if err := json.Unmarshal(server.Events[0], &e); err != nil {
			t.Fatal(err)
		}
		if e.EventBusName != "leads-test" || e.Source != publish.Source || e.DetailType != "lead.created" || !json.Valid([]byte(e.Detail)) {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("reports the first record if EventBridge refuses events", func(t *testing.T) {
		server.Events, server.Refuse = nil, true
		defer func() { server.Refuse = false }()
		if n := invoke(t); n != 1 || len(server.Events) != 0 {
			t.Errorf("%d failures, %d events, want the first of the records", n, len(server.Events))
		}
	})
	t.Run("reports the first record if access is denied", func(t *testing.T) {
		server.Fault = func(fakeaws.Call) bool { return true }
		if n := invoke(t); n != 1 {
			t.Errorf("%d failures, want the first of the records", n)
		}
	})
}
