package publish_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/test/fakeaws"
)

func TestOpen(t *testing.T) {
	server := fakeaws.Start(t)
	t.Setenv("LEADS_BUS", "leads-test")
	t.Setenv("LEADS_DEAD_LETTERS_URL", server.URL+"/dead.fifo")
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
	t.Run("counts versions from the epoch of a restored table", func(t *testing.T) {
		server.Events = nil
		t.Setenv("LEADS_EPOCH", "1")
		restored := publish.Open(slog.New(slog.DiscardHandler))
		if answer, err := restored.Invoke(t.Context(), event); err != nil || len(server.Events) != 3 {
			t.Fatalf("answer %s, error %v", answer, err)
		}
		for i, want := range []string{`.1000000001\"`, `.1000000002\"`, `.1000000003\"`} {
			if !strings.Contains(string(server.Events[i]), want) || !strings.Contains(string(server.Events[i]), `\"version\":100000000`) {
				t.Errorf("event %s, want the id %s", server.Events[i], want)
			}
		}
		server.Events = nil
	})
	t.Run("sends an unreadable record to the dead-letter queue", func(t *testing.T) {
		whole := event
		defer func() { event, server.Events = whole, nil }()
		event = bytes.Replace(event, []byte(`"Ada Lovelace"`), []byte("7"), 1)
		if n := invoke(t); n != 0 || len(server.Messages) != 1 {
			t.Fatalf("%d failures, %d messages, want 0 and 1", n, len(server.Messages))
		}
		if m := server.Messages[0]; m.Queue != "dead.fifo" || m.Attributes["source"] != "stream" || m.Attributes["reason"] == "" {
			t.Errorf("message %+v", m)
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

// TestWarmUp checks that WarmUp opens the connection for the first changes, and
// that EventBridge need not answer.
func TestWarmUp(t *testing.T) {
	requests, silent := 0, false
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if silent {
			<-done
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ValidationException"}`)
	}))
	defer server.Close()
	defer close(done)
	t.Setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", server.URL)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	p := publish.Open(slog.New(slog.DiscardHandler))
	p.WarmUp(t.Context())
	if requests != 1 {
		t.Errorf("%d requests, want 1", requests)
	}
	silent = true
	start := time.Now()
	p.WarmUp(t.Context())
	if d := time.Since(start); d > 8*time.Second { // Lambda allows ten
		t.Errorf("WarmUp took %v although EventBridge did not answer", d)
	}
}
