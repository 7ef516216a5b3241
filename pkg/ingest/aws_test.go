package ingest_test

import (
	"log/slog"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/queue"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/fakeaws"
)

// open opens an ingester as the function does, with fake AWS services.
func open(t *testing.T, table *dynamo.Table) (*ingest.Ingester, *fakeaws.Server) {
	t.Helper()
	server := fakeaws.Start(t)
	for name, value := range map[string]string{
		"LEADS_ACCOUNT": "acme", "LEADS_MODE": "live", "LEADS_QUEUE_URL": server.URL + "/in", "LEADS_DEAD_LETTERS_URL": server.URL + "/dead.fifo",
	} {
		t.Setenv(name, value)
	}
	in, err := ingest.Open(table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return in, server
}

func TestOpen(t *testing.T) {
	table, _ := dynamotest.New(t)
	in, server := open(t, table)
	f := &fixture{Ingester: in, table: table}
	text := "lead_name\nAda\nBob,x\n" + strings.Repeat("n\n", 98_000)
	server.Put(fakeaws.Object{Bucket: "b", Key: "in/März 1.csv", ETag: "e1", Content: strings.NewReader(text), Size: int64(len(text))})
	event := records(s3Record("b", "in/M%C3%A4rz+1.csv", "e1"))

	t.Run("reads a file and sends its rows to the queue and the DLQ", func(t *testing.T) {
		if _, failure := f.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		rejected, rows, next := 0, 0, ""
		for _, m := range server.Messages {
			switch {
			case m.Queue == "dead.fifo":
				rejected++
				if m.Attributes["reason"] == "" {
					t.Errorf("message %+v has no reason", m)
				}
			case m.Attributes["leads_content"] == "rows":
				rows++
			case m.Attributes["leads_content"] == "file":
				next = m.Body
			}
		}
		if rejected != 1 || rows != 999 || next == "" {
			t.Fatalf("%d rejected rows, %d messages with rows, continue with %q", rejected, rows, next)
		}
		f.wantFailed(t, records(delivered("m1", queue.Message{Body: next, Attributes: map[string]string{"leads_content": "file"}})))
		if last := server.Ranges[len(server.Ranges)-1]; !strings.HasPrefix(last, "bytes=1") {
			t.Errorf("range %q, want the offset where the first invocation stopped", last)
		}
		if last := server.Messages[len(server.Messages)-1]; !strings.Contains(last.Body, `{"line":98003,`) {
			t.Errorf("the last message is %.200s", last.Body)
		}
	})
	t.Run("reads the settings in the metadata of a file", func(t *testing.T) {
		server.Messages = nil
		server.Put(fakeaws.Object{Bucket: "b", Key: "m.csv", ETag: "e1", Content: strings.NewReader("Boss\nAda\n"), Size: 9, Mapping: `{"map":{"Boss":"lead_name"}}`})
		if _, failure := f.invoke(t, records(s3Record("b", "m.csv", "e1"))); failure != "" {
			t.Fatal(failure)
		}
		if len(server.Messages) != 1 || !strings.Contains(server.Messages[0].Body, `{\"lead_name\":\"Ada\"}`) {
			t.Errorf("messages %+v", server.Messages)
		}
	})
	t.Run("rejects a file that was replaced or deleted", func(t *testing.T) {
		for _, key := range []string{"in/M%C3%A4rz+1.csv", "none.csv"} {
			server.Messages = nil
			if _, failure := f.invoke(t, records(s3Record("b", key, "e0"))); failure != "" || len(server.Messages) != 1 {
				t.Errorf("error %q, %d messages", failure, len(server.Messages))
			}
		}
	})
	t.Run("fails if SQS refuses a message of a batch", func(t *testing.T) {
		server.Refuse = true
		defer func() { server.Refuse = false }()
		if _, failure := f.invoke(t, event); failure == "" {
			t.Error("no error although SQS refused rows")
		}
	})
	t.Run("needs an account and a mode", func(t *testing.T) {
		for _, name := range []string{"LEADS_ACCOUNT", "LEADS_MODE"} {
			t.Run(name, func(t *testing.T) {
				t.Setenv(name, "No")
				if _, err := ingest.Open(table, nil); err == nil {
					t.Error("no error")
				}
			})
		}
	})
}
