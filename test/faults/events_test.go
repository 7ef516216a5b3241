package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/pkg/queue"
)

// delivery is an event that a source delivers to an event function, again and
// again until the function succeeds.
type delivery struct {
	event string // JSON

	publish bool // deliver it to publish-changes instead of ingest-leads
	ordered bool // its records become leads in their order
}

// run implements [action]. It delivers the event, and then what the function
// sent to its own queue.
func (d delivery) run(ctx context.Context, f *fixture) response {
	if d.publish {
		return invokeFunction(ctx, f.publisher.Invoke, f.namesToIDs(d.event))
	}
	got := invokeFunction(ctx, f.ingester.Invoke, d.event)
	if queued := f.queue.list(); len(queued) > 0 {
		again := invokeFunction(ctx, f.ingester.Invoke, sqsEvent(queued...))
		if !d.isRetryable(again) {
			f.queue.clear()
		}
		got.status = max(got.status, again.status)
		got.body += again.body
	}
	return got
}

// invokeFunction returns a function's result with status 200, and its error with
// 503 where it can be retried, else 500.
func invokeFunction(ctx context.Context, invoke func(context.Context, []byte) ([]byte, error), event string) response {
	// Lambda's retries have the same request id.
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "REQUEST-ID"})
	body, err := invoke(ctx, []byte(event))
	var failure messages.InvokeResponse_Error
	switch {
	case err == nil:
		// Results are compared without ids, and whether or not a lead existed.
		text := idPattern.ReplaceAllString(string(body), "lead_0")
		return response{status: 200, body: strings.ReplaceAll(text, `,"replayed":true`, "")}
	case errors.As(err, &failure) && (failure.Type == "unavailable" || failure.Type == "rate_limited"):
		return response{status: 503, body: failure.Type}
	}
	return response{status: 500, body: err.Error()}
}

// isRetryable implements [action]: some of the event is to be delivered again.
func (d delivery) isRetryable(r response) bool {
	return r.status == 503 || strings.Contains(r.body, "itemIdentifier")
}

// margin implements [action].
func (d delivery) margin() time.Duration {
	if d.publish {
		return time.Second
	}
	return 3 * time.Second
}

// observe implements [action]. It returns the leads without ids, the dead
// letters, and the published events, one per line.
func (d delivery) observe(ctx context.Context, f *fixture) string {
	all := f.list(ctx)
	var page struct {
		Data  []json.RawMessage
		Total int
	}
	if err := json.Unmarshal([]byte(all.body), &page); err != nil || len(page.Data) != page.Total {
		return all.String()
	}
	var lines []string
	for _, l := range page.Data {
		lines = append(lines, omitDefaults(namePattern.ReplaceAllString(string(l), "lead_0")))
	}
	if !d.ordered {
		slices.Sort(lines)
	}
	for _, m := range f.dlq.list() {
		lines = append(lines, "lead_0, dead: "+m.Attributes["code"]+" "+m.Body)
	}
	for _, e := range f.bus.list() {
		lines = append(lines, f.idsToNames(eventID(e)))
	}
	return "200 \n" + strings.Join(lines, "\n")
}

// isPartial implements [action]: some records took effect as a whole, and
// nothing else changed.
func (d delivery) isPartial(before string, got, success outcome) bool {
	return containsLines(got.state, before) && containsLines(success.state, got.state)
}

// isCompletion implements [action].
func (d delivery) isCompletion(_, _, _ outcome) bool { return false }

// containsLines reports whether a text has all lines of another.
func containsLines(text, other string) bool {
	rest := strings.Split(text, "\n")
	for line := range strings.SplitSeq(other, "\n") {
		i := slices.Index(rest, line)
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// eventOperations returns the operations of the event functions.
func eventOperations() []operation {
	const invalid = `{"lead_name":7}`
	named := func(n string) string { return `{"lead_name":"` + n + `"}` }
	plain := func(id, body string) string { return sqsRecord(id, body, "in", nil, "") }
	keyed := func(id, body string) string {
		return sqsRecord(id, body, "in", map[string]string{"idempotency_key": "key"}, "")
	}
	fifo := func(id, body string) string { return sqsRecord(id, body, "in.fifo", nil, "group") }
	group := delivery{ordered: true, event: records(fifo("1", named("a")), fifo("2", named("b")), fifo("3", invalid), fifo("4", named("c")))}
	event := delivery{event: `{"id":"e","detail-type":"d","detail":` + named("bus") + `}`}
	upsert := delivery{event: `{"id":"e","detail-type":"lead.upsert","detail":{"email_id":"` + address + `"}}`}
	many := delivery{event: `{"idempotency_key":"key","leads":[` + named("a") + `,` + invalid + `,` + named("b") + `]}`}
	changes := delivery{publish: true, event: records(
		streamRecord(1, nil, leadImage("lead_1", 1, "here")), streamRecord(2, nil, leadImage("lead_2", 1, "here")),
		streamRecord(3, leadImage("lead_1", 1, "here"), leadImage("lead_1", 2, "there")), streamRecord(4, leadImage("lead_2", 1, "here"), nil),
		streamRecord(5, nil, object{"pk": object{"S": "unreadable"}, "sk": object{"S": 7}}),
	)}
	return []operation{
		// Two messages with one key make two transactions.
		{column: "in: SQS", name: "messages", action: delivery{
			event: records(plain("1", named("a")), plain("2", invalid), keyed("3", named("b")), keyed("4", named("b")), plain("5", named("c"))),
		}},
		{
			column: "in: SQS", name: "messages, one delivered before", before: []action{delivery{event: records(plain("1", named("a")))}},
			action: delivery{event: records(plain("1", named("a")), plain("2", named("b")), plain("3", named("c")))},
		},
		{column: "in: SQS FIFO", name: "messages of a group", action: group},
		{column: "in: EventBridge", name: "an event", action: event},
		{column: "in: EventBridge", name: "an event delivered before", before: []action{event}, action: event},
		{column: "in: EventBridge", name: "an event with an upsert", action: upsert},
		{column: "in: SNS", name: "a notification", action: delivery{
			event: records(`{"EventSource":"aws:sns","Sns":{"MessageId":"n","TopicArn":"t","Message":` + string(toJSON(named("topic"))) + `,"MessageAttributes":{}}}`),
		}},
		{column: "in: S3", name: "a file", action: delivery{
			event: records(`{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a.ndjson","eTag":"e"}}}`),
		}},
		{column: "in: many leads", name: "a call with many leads", action: many},
		{column: "out: changes", name: "changes of two leads", action: changes},
	}
}

// records returns an event of records.
func records(records ...string) string { return `{"Records":[` + strings.Join(records, ",") + `]}` }

func sqsRecord(id, body, queue string, attributes map[string]string, group string) string {
	sent, system := object{}, object{}
	for name, value := range attributes {
		sent[name] = object{"stringValue": value, "dataType": "String"}
	}
	if group != "" {
		system = object{"MessageGroupId": group, "MessageDeduplicationId": "id of " + id}
	}
	return string(toJSON(object{
		"messageId": id, "body": body, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:" + queue,
		"messageAttributes": sent, "attributes": system,
	}))
}

// sqsEvent returns the event of messages that the function sent itself.
func sqsEvent(sent ...queue.Message) string {
	var all []string
	for i, m := range sent {
		all = append(all, sqsRecord(fmt.Sprint("own", i), m.Body, "in", m.Attributes, ""))
	}
	return records(all...)
}

// streamRecord returns a record of the table's stream. A nil image is left out.
func streamRecord(n int, before, after object) string {
	change := object{"SequenceNumber": fmt.Sprint(n), "ApproximateCreationDateTime": 1772366400}
	for name, image := range map[string]object{"OldImage": before, "NewImage": after} {
		if image != nil {
			change[name] = image
		}
	}
	name := "MODIFY"
	switch {
	case before == nil:
		name = "INSERT"
	case after == nil:
		name = "REMOVE"
	}
	return string(toJSON(object{"eventSource": "aws:dynamodb", "eventName": name, "dynamodb": change}))
}

// fakeService is a queue of SQS or a bus of EventBridge. It keeps what is sent to
// it, in order.
type fakeService[T any] struct {
	operation string
	id        func(T) string // items with the id of an earlier one are dropped; nil keeps all
	timeout   time.Duration  // of an attempt to send

	mu    sync.Mutex
	items []T
}

// Put implements [publish.Bus]. It is subject to the conditions of the context,
// and makes as many attempts as the SDK's clients do.
func (s *fakeService[T]) Put(ctx context.Context, items []T) (refused []bool, err error) {
	for attempt := range 5 {
		if refused, err = s.putOnce(ctx, items); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Millisecond << attempt)
	}
	return refused, err
}

// Send implements [ingest.Queue].
func (s *fakeService[T]) Send(ctx context.Context, items []T) error {
	_, err := s.Put(ctx, items)
	return err
}

// serviceResponse says of each item whether it was refused.
type serviceResponse struct{ Refused []bool }

func (s *fakeService[T]) putOnce(ctx context.Context, items []T) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://service/", bytes.NewReader(toJSON(items)))
	if err != nil {
		return nil, err
	}
	resp, err := intercept(s.operation, r, s)
	body, err := readResponse(resp, err)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var answer serviceResponse
	err = json.Unmarshal(body, &answer)
	return answer.Refused, err
}

// RoundTrip implements [http.RoundTripper] as the service does.
func (s *fakeService[T]) RoundTrip(r *http.Request) (*http.Response, error) {
	var items []T
	if err := json.NewDecoder(r.Body).Decode(&items); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range items {
		if s.id == nil || !slices.ContainsFunc(s.items, func(earlier T) bool { return s.id(earlier) == s.id(item) }) {
			s.items = append(s.items, item)
		}
	}
	return respond(200, serviceResponse{make([]bool, len(items))})(&call{request: r})
}

func (s *fakeService[T]) list() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.items)
}

func (s *fakeService[T]) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = nil
}

// eventID returns what identifies an event to its consumers.
func eventID(e publish.Event) string {
	return e.Type + " " + parse(e.Detail)["event_id"].(string)
}

// fakeFiles has the same content for every file of S3.
type fakeFiles struct{}

// Open implements [ingest.Files].
func (fakeFiles) Open(_ context.Context, f ingest.File, offset int64) (io.ReadCloser, string, error) {
	if f.ETag == "" {
		return nil, "", ingest.ErrFileGone // there are no settings
	}
	const rows = `{"lead_name":"a"}` + "\n{\n" + `{"lead_name":"b"}` + "\n"
	return io.NopCloser(strings.NewReader(rows[offset:])), "", nil
}

// Put implements [ingest.Files]. Files with rejected rows are not checked.
func (fakeFiles) Put(context.Context, string, string, []byte) error { return nil }
