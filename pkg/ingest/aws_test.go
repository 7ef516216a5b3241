package ingest_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo/dynamotest"
	"overplane.dev/leads/pkg/ingest"
)

// aws answers as SQS and S3 do.
type aws struct {
	mu     sync.Mutex
	sent   []sentMessage
	refuse bool
	object string
	ranges []string
}

type sentMessage struct {
	QueueURL                                                string
	Id, MessageBody, MessageGroupId, MessageDeduplicationId string //nolint:staticcheck // as SQS spells it
	MessageAttributes                                       map[string]struct{ DataType, StringValue string }
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch" {
		var in struct {
			QueueUrl string
			Entries  []sentMessage
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &in); err != nil || len(in.Entries) > 10 || len(body) > 1<<20 {
			http.Error(w, `{"__type":"com.amazonaws.sqs#BatchRequestTooLong"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if a.refuse {
			io.WriteString(w, `{"Successful":[],"Failed":[{"Id":"0","Code":"InternalError","Message":"no","SenderFault":false}]}`)
			return
		}
		type done struct{ Id, MessageId, MD5OfMessageBody string }
		var answer struct{ Successful, Failed []done }
		for _, e := range in.Entries {
			e.QueueURL = in.QueueUrl
			a.sent = append(a.sent, e)
			answer.Successful = append(answer.Successful, done{e.Id, "m", fmt.Sprintf("%x", md5.Sum([]byte(e.MessageBody)))})
		}
		json.NewEncoder(w).Encode(answer)
		return
	}
	a.ranges = append(a.ranges, r.Header.Get("Range"))
	switch {
	case r.URL.Path != "/b/in/M%C3%A4rz 1.csv" && r.URL.Path != "/b/in/März 1.csv":
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>no</Message></Error>`)
	case r.Header.Get("If-Match") != `"e1"`:
		w.WriteHeader(http.StatusPreconditionFailed)
		io.WriteString(w, `<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>`)
	default:
		w.Header().Set("ETag", `"e1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(a.object))
	}
}

func TestOpen(t *testing.T) {
	fake := &aws{object: "lead_name\nAda\nBob,\n" + strings.Repeat("n\n", 98_000)}
	server := httptest.NewServer(fake)
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"LEADS_ACCOUNT": "acme", "LEADS_MODE": "live", "LEADS_QUEUE_URL": server.URL + "/in", "LEADS_DEAD_LETTERS_URL": server.URL + "/dead.fifo",
	} {
		t.Setenv(name, value)
	}
	table, _ := dynamotest.New(t)
	in, err := ingest.Open(table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Ingester: in, table: table}
	event := records(s3Record("b", "in/M%C3%A4rz+1.csv", "e1"))

	t.Run("reads a file and sends its rows and dead letters", func(t *testing.T) {
		if _, failure := w.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		dead, rows, on := 0, 0, ""
		for _, m := range fake.sent {
			switch {
			case strings.HasSuffix(m.QueueURL, "/dead.fifo"):
				dead++
				if m.MessageGroupId == "" || m.MessageDeduplicationId == "" || m.MessageAttributes["reason"].StringValue == "" {
					t.Errorf("dead letter %+v", m)
				}
			case m.MessageAttributes["leads_content"].StringValue == "rows" && m.MessageGroupId == "":
				rows++
			case m.MessageAttributes["leads_content"].StringValue == "file":
				on = m.MessageBody
			}
		}
		if dead != 1 || rows != 999 || on == "" {
			t.Fatalf("%d dead letters, %d messages of rows, read on with %q", dead, rows, on)
		}
		w.wantFailed(t, records(again("m1", ingest.Message{Body: on, Attributes: map[string]string{"leads_content": "file"}})))
		if last := fake.ranges[len(fake.ranges)-1]; !strings.HasPrefix(last, "bytes=1") {
			t.Errorf("range %q, want one from where it ended", last)
		}
		if last := fake.sent[len(fake.sent)-1]; !strings.Contains(last.MessageBody, `{"line":98003,`) {
			t.Errorf("the last message is %.200s", last.MessageBody)
		}
	})
	t.Run("says that a file is gone", func(t *testing.T) {
		for _, key := range []string{"in/M%C3%A4rz+1.csv", "none.csv"} {
			fake.sent = nil
			if _, failure := w.invoke(t, records(s3Record("b", key, "e0"))); failure != "" || len(fake.sent) != 1 {
				t.Errorf("error %q, %d letters", failure, len(fake.sent))
			}
		}
	})
	t.Run("notices that SQS refused one of a batch", func(t *testing.T) {
		fake.refuse = true
		defer func() { fake.refuse = false }()
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
