package ingest_test

import (
	"log/slog"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/fakeaws"
)

// open opens an ingester as the function does, over services of the test's own.
func open(t *testing.T, table *dynamo.Table) (*ingest.Ingester, *fakeaws.Cloud) {
	t.Helper()
	cloud := fakeaws.Start(t)
	for name, value := range map[string]string{
		"LEADS_ACCOUNT": "acme", "LEADS_MODE": "live", "LEADS_QUEUE_URL": cloud.URL + "/in", "LEADS_DEAD_LETTERS_URL": cloud.URL + "/dead.fifo",
	} {
		t.Setenv(name, value)
	}
	in, err := ingest.Open(table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return in, cloud
}

func TestOpen(t *testing.T) {
	table, _ := dynamotest.New(t)
	in, cloud := open(t, table)
	w := &world{Ingester: in, table: table}
	text := "lead_name\nAda\nBob,\n" + strings.Repeat("n\n", 98_000)
	cloud.Put(fakeaws.Object{Bucket: "b", Key: "in/März 1.csv", ETag: "e1", Content: strings.NewReader(text), Size: int64(len(text))})
	event := records(s3Record("b", "in/M%C3%A4rz+1.csv", "e1"))

	t.Run("reads a file and sends its rows and dead letters", func(t *testing.T) {
		if _, failure := w.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		dead, rows, on := 0, 0, ""
		for _, m := range cloud.Messages {
			switch {
			case m.Queue == "dead.fifo":
				dead++
				if m.Attributes["reason"] == "" {
					t.Errorf("dead letter %+v", m)
				}
			case m.Attributes["leads_content"] == "rows":
				rows++
			case m.Attributes["leads_content"] == "file":
				on = m.Body
			}
		}
		if dead != 1 || rows != 999 || on == "" {
			t.Fatalf("%d dead letters, %d messages of rows, read on with %q", dead, rows, on)
		}
		w.wantFailed(t, records(again("m1", ingest.Message{Body: on, Attributes: map[string]string{"leads_content": "file"}})))
		if last := cloud.Ranges[len(cloud.Ranges)-1]; !strings.HasPrefix(last, "bytes=1") {
			t.Errorf("range %q, want one from where it ended", last)
		}
		if last := cloud.Messages[len(cloud.Messages)-1]; !strings.Contains(last.Body, `{"line":98003,`) {
			t.Errorf("the last message is %.200s", last.Body)
		}
	})
	t.Run("says that a file is gone", func(t *testing.T) {
		for _, key := range []string{"in/M%C3%A4rz+1.csv", "none.csv"} {
			cloud.Messages = nil
			if _, failure := w.invoke(t, records(s3Record("b", key, "e0"))); failure != "" || len(cloud.Messages) != 1 {
				t.Errorf("error %q, %d letters", failure, len(cloud.Messages))
			}
		}
	})
	t.Run("notices that SQS refused one of a batch", func(t *testing.T) {
		cloud.Refuse = true
		defer func() { cloud.Refuse = false }()
		if _, failure := w.invoke(t, event); failure == "" {
			t.Error("no error although rows were not taken")
		}
	})
	t.Run("refuses to start without an account and a mode", func(t *testing.T) {
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
