package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// stackOnAWS answers as CloudFormation, SQS and Lambda do for a stack with dead
// letters.
type stackOnAWS struct {
	mu       sync.Mutex
	letters  map[string]map[string]any // by queue; each queue has at most one
	received map[string]bool
	shown    []string // queues
	deleted  []string // queues
	calls    []map[string]any
	answer   string // of the function
}

func (s *stackOnAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var input struct{ QueueUrl string }
	json.Unmarshal(body, &input)
	queue := input.QueueUrl[strings.LastIndex(input.QueueUrl, "/")+1:]
	switch {
	case strings.Contains(string(body), "Action=DescribeStacks"):
		outputs := map[string]string{"IngestFunction": "ingest:live", "IngestQueueArn": "arn:queue"}
		for _, q := range deadLetterQueues {
			outputs[q+"Url"] = "http://" + r.Host + "/1/" + q
		}
		io.WriteString(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>leads-prod</StackName><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>`)
		for _, name := range slices.Sorted(maps.Keys(outputs)) {
			fmt.Fprintf(w, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", name, outputs[name])
		}
		io.WriteString(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	case operation == "ReceiveMessage":
		var messages []any
		if m := s.letters[queue]; m != nil && !s.received[queue] {
			messages, s.received[queue] = []any{m}, true
		}
		json.NewEncoder(w).Encode(map[string]any{"Messages": messages})
	case operation == "ChangeMessageVisibility":
		s.shown = append(s.shown, queue)
		io.WriteString(w, "{}")
	case operation == "DeleteMessage":
		s.deleted = append(s.deleted, queue)
		io.WriteString(w, "{}")
	case strings.Contains(r.URL.Path, "/functions/ingest:live/invocations"):
		var call map[string]any
		json.Unmarshal(body, &call)
		s.calls = append(s.calls, call)
		io.WriteString(w, s.answer)
	default:
		http.Error(w, operation, http.StatusBadRequest)
	}
}

func message(id, body string, attributes map[string]any) map[string]any {
	return map[string]any{
		"MessageId": id, "Body": body, "ReceiptHandle": "handle-" + id, "MessageAttributes": attributes,
		"Attributes": map[string]string{"MessageDeduplicationId": "dedup-" + id, "ApproximateReceiveCount": "1"},
	}
}

func newStackOnAWS(t *testing.T) *stackOnAWS {
	t.Helper()
	reason := map[string]any{"reason": map[string]string{"DataType": "String", "StringValue": "lead_name is too long."}}
	s := &stackOnAWS{received: map[string]bool{}, answer: `{"batchItemFailures":[]}`, letters: map[string]map[string]any{
		"DeadLetters":         message("m1", `{"lead_name":"x"}`, reason),
		"UndeliveredMessages": message("m2", `{"lead_name":"y"}`, nil),
		"Undelivered":         message("m3", `{"id":"e1","detail-type":"lead.create","detail":{}}`, nil),
		"Unpublished":         message("m4", `{}`, nil),
	}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

func (s *stackOnAWS) check(t *testing.T, shown, deleted []string, calls ...string) {
	t.Helper()
	slices.Sort(s.shown)
	if !slices.Equal(s.shown, shown) || !slices.Equal(s.deleted, deleted) {
		t.Errorf("shown %q, deleted %q, want %q and %q", s.shown, s.deleted, shown, deleted)
	}
	var want []map[string]any
	for _, text := range calls {
		var call map[string]any
		if err := json.Unmarshal([]byte(text), &call); err != nil {
			t.Fatal(err)
		}
		want = append(want, call)
	}
	if !reflect.DeepEqual(s.calls, want) {
		t.Errorf("calls %v, want %v", s.calls, want)
	}
}

var allShown = []string{"DeadLetters", "Undelivered", "UndeliveredMessages", "Unpublished"}

func TestListLettersDeletesNothing(t *testing.T) {
	for _, args := range [][]string{
		{"leads", "letters", "list", "-stack", "leads-prod"},
		{"leads", "letters", "show", "-stack", "leads-prod", "m1"},
	} {
		s := newStackOnAWS(t)
		if status := run(args); status != 0 {
			t.Errorf("status %d", status)
		}
		s.check(t, allShown, nil)
	}
}

func TestListLettersAsJSON(t *testing.T) {
	newStackOnAWS(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = file
	status := run([]string{"leads", "letters", "list", "-stack", "leads-prod", "-json"})
	text, err := os.ReadFile(file.Name())
	const want = `{"id":"m1","queue":"DeadLetters","reason":"lead_name is too long."}` + "\n"
	if status != 0 || err != nil || !strings.HasPrefix(string(text), want) || strings.Count(string(text), "\n") != 4 {
		t.Errorf("status %d, error %v, output %s, want four lines that begin with %s", status, err, text, want)
	}
}

func TestRetryLettersKeepsKeys(t *testing.T) {
	s := newStackOnAWS(t)
	if status := run([]string{"leads", "letters", "retry", "-stack", "leads-prod", "all"}); status != 0 {
		t.Errorf("status %d", status)
	}
	s.check(t, []string{"Unpublished"}, []string{"DeadLetters", "UndeliveredMessages", "Undelivered"},
		`{"Records":[{"messageId":"dedup-m1","body":"{\"lead_name\":\"x\"}","messageAttributes":{"reason":{"stringValue":"lead_name is too long.","dataType":"String"}},"attributes":{},"eventSource":"aws:sqs","eventSourceARN":"arn:queue"}]}`,
		`{"Records":[{"messageId":"m2","body":"{\"lead_name\":\"y\"}","messageAttributes":{},"attributes":{},"eventSource":"aws:sqs","eventSourceARN":"arn:queue"}]}`,
		`{"id":"e1","detail-type":"lead.create","detail":{}}`)
}

func TestRetryCorrectedLetter(t *testing.T) {
	s := newStackOnAWS(t)
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if status := run([]string{"leads", "letters", "retry", "-stack", "leads-prod", "-body", file, "m1"}); status != 0 {
		t.Errorf("status %d", status)
	}
	if len(s.calls) != 1 || !strings.Contains(fmt.Sprint(s.calls[0]), "body:{}") {
		t.Errorf("calls %v", s.calls)
	}
}

func TestRetryThatFailsAgainKeepsTheLetter(t *testing.T) {
	s := newStackOnAWS(t)
	s.answer = `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`
	if status := run([]string{"leads", "letters", "retry", "-stack", "leads-prod", "m2"}); status != 1 {
		t.Errorf("status %d", status)
	}
	if len(s.calls) != 1 || len(s.deleted) > 0 || len(s.shown) != 4 {
		t.Errorf("%d calls, deleted %q, shown %q", len(s.calls), s.deleted, s.shown)
	}
}

func TestDropLetter(t *testing.T) {
	s := newStackOnAWS(t)
	if status := run([]string{"leads", "letters", "drop", "-stack", "leads-prod", "m4"}); status != 0 {
		t.Errorf("status %d", status)
	}
	s.check(t, []string{"DeadLetters", "Undelivered", "UndeliveredMessages"}, []string{"Unpublished"})
	if status := run([]string{"leads", "letters", "drop", "-stack", "leads-prod", "m5"}); status != 1 {
		t.Errorf("status %d for a letter that does not exist", status)
	}
}

func TestUndeliveredEvent(t *testing.T) {
	for body, want := range map[string]string{
		`{"requestPayload":{"leads":[]},"version":"1.0"}`:       `{"leads":[]}`,
		`{"Type":"Notification","MessageId":"n","Message":"m"}`: `{"Records":[{"EventSource":"aws:sns","Sns":{"Type":"Notification","MessageId":"n","Message":"m"}}]}`,
		`{"detail-type":"lead.create","id":"e"}`:                `{"detail-type":"lead.create","id":"e"}`,
		`{}`:                                                    "",
		`x`:                                                     "",
	} {
		if got, err := undeliveredEvent([]byte(body)); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("undeliveredEvent(%s) = %s, %v", body, got, err)
		}
	}
}
