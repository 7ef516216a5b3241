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
)

// delivery is an event that a source hands to a function, and which it hands on
// again until it is told that all went well. What comes of it is leads, dead
// letters and messages of the function's own queue, which come back to it.
type delivery struct {
	event string // JSON

	// publish sends it to publish-changes, and not to ingest-leads.
	publish bool
	// inOrder says that its records become leads in their order.
	inOrder bool
}

// do delivers the event, and then what the function put into its own queue.
func (d delivery) do(ctx context.Context, w *world) answer {
	if d.publish {
		return invoke(ctx, w.publisher.Invoke, w.ids(d.event))
	}
	a := invoke(ctx, w.ingester.Invoke, d.event)
	if queued := w.queue.all(); len(queued) > 0 {
		again := invoke(ctx, w.ingester.Invoke, sqs(queued...))
		if !d.later(again) {
			w.queue.clear()
		}
		a.status = max(a.status, again.status)
		a.body += again.body
	}
	return a
}

// invoke returns a function's answer with 200, and its error with 500 or, where
// it says to come again, 503.
func invoke(ctx context.Context, function func(context.Context, []byte) ([]byte, error), event string) answer {
	// Lambda's own repetitions keep their id.
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "REQUEST-ID"})
	body, err := function(ctx, []byte(event))
	var failure messages.InvokeResponse_Error
	switch {
	case err == nil:
		// Whether a lead was made now or before, is no difference here.
		text := idPattern.ReplaceAllString(string(body), "lead_0")
		return answer{status: 200, body: strings.ReplaceAll(text, `,"replayed":true`, "")}
	case errors.As(err, &failure) && (failure.Type == "unavailable" || failure.Type == "rate_limited"):
		return answer{status: 503, body: failure.Type}
	}
	return answer{status: 500, body: err.Error()}
}

// later reports whether the source is to deliver some of it again.
func (d delivery) later(a answer) bool {
	return a.status == 503 || strings.Contains(a.body, "itemIdentifier")
}

// margin is what a function keeps for its answer.
func (d delivery) margin() time.Duration {
	if d.publish {
		return time.Second
	}
	return 3 * time.Second
}

// see returns the leads, whose ids may differ, the dead letters, and what was
// published of which lead.
func (d delivery) see(ctx context.Context, w *world) string {
	all := w.list(ctx)
	var page struct {
		Data  []json.RawMessage
		Total int
	}
	if err := json.Unmarshal([]byte(all.body), &page); err != nil || len(page.Data) != page.Total {
		return all.String()
	}
	var lines []string
	for _, l := range page.Data {
		lines = append(lines, brief(namePattern.ReplaceAllString(string(l), "lead_0")))
	}
	if !d.inOrder {
		slices.Sort(lines)
	}
	for _, m := range w.dead.all() {
		lines = append(lines, "lead_0, dead: "+m.Attributes["code"]+" "+m.Body)
	}
	for _, e := range w.bus.told() {
		lines = append(lines, w.named(e))
	}
	return "200 \n" + strings.Join(lines, "\n")
}

// partly reports whether some whole records were made of those that were to be:
// each was delivered, and no other is there.
func (d delivery) partly(before, got, after string) bool {
	return within(before, got) && within(got, after)
}

// within reports whether all lines of a text are among those of another.
func within(some, all string) bool {
	rest := strings.Split(all, "\n")
	for line := range strings.SplitSeq(some, "\n") {
		i := slices.Index(rest, line)
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// deliveries are the operations of the event functions.
func deliveries() []operation {
	const bad = `{"lead_name":7}`
	name := func(n string) string { return `{"lead_name":"` + n + `"}` }
	message := func(id, body string) string { return sqsRecord(id, body, "in", nil, "") }
	keyed := func(id, body string) string {
		return sqsRecord(id, body, "in", map[string]string{"idempotency_key": "key"}, "")
	}
	fifo := func(id, body string) string { return sqsRecord(id, body, "in.fifo", nil, "group") }
	send := func(records ...string) delivery {
		return delivery{event: `{"Records":[` + strings.Join(records, ",") + `]}`}
	}
	ordered := func(d delivery) delivery { d.inOrder = true; return d }
	bus := delivery{event: `{"id":"e","detail-type":"d","detail":` + name("bus") + `}`}
	sns := send(`{"EventSource":"aws:sns","Sns":{"MessageId":"n","TopicArn":"t","Message":` + quoted(name("topic")) + `,"MessageAttributes":{}}}`)
	s3 := send(`{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a.ndjson","eTag":"e"}}}`)
	call := delivery{event: `{"idempotency_key":"key","leads":[` + name("a") + `,` + bad + `,` + name("b") + `]}`}
	stream := delivery{publish: true, event: `{"Records":[` + strings.Join([]string{
		change(1, "", image("lead_1", 1, "here")), change(2, "", image("lead_2", 1, "here")),
		change(3, image("lead_1", 1, "here"), image("lead_1", 2, "there")), change(4, image("lead_2", 1, "here"), ""),
	}, ",") + `]}`}
	return []operation{
		// A key that comes twice makes two transactions of it.
		{column: "in: SQS", name: "messages", act: send(message("1", name("a")), message("2", bad), keyed("3", name("b")), keyed("4", name("b")), message("5", name("c")))},
		{
			column: "in: SQS", name: "messages, some delivered before", before: []act{send(message("1", name("a")))},
			act: send(message("1", name("a")), message("2", name("b")), message("3", name("c"))),
		},
		{column: "in: SQS FIFO", name: "messages of a group", act: ordered(send(fifo("1", name("a")), fifo("2", name("b")), fifo("3", bad), fifo("4", name("c"))))},
		{column: "in: EventBridge", name: "an event", act: bus},
		{column: "in: EventBridge", name: "an event that was delivered before", before: []act{bus}, act: bus},
		{column: "in: SNS", name: "a notification", act: sns},
		{column: "in: S3", name: "a file", act: s3},
		{column: "in: many leads", name: "a call with many leads", act: call},
		{column: "out: changes", name: "changes of two leads", act: stream},
	}
}

func quoted(s string) string { return string(text(s)) }

func sqsRecord(id, body, queue string, attributes map[string]string, group string) string {
	sent, system := object{}, object{}
	for name, value := range attributes {
		sent[name] = object{"stringValue": value, "dataType": "String"}
	}
	if group != "" {
		system = object{"MessageGroupId": group, "MessageDeduplicationId": "id of " + id}
	}
	return string(text(object{
		"messageId": id, "body": body, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:" + queue,
		"messageAttributes": sent, "attributes": system,
	}))
}

// sqs is the event of messages that the function sent itself.
func sqs(sent ...ingest.Message) string {
	var records []string
	for i, m := range sent {
		records = append(records, sqsRecord(fmt.Sprint("own", i), m.Body, "in", m.Attributes, ""))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// change is a record of the table's stream, and image an item in it.
func change(n int, before, after string) string {
	images := ""
	if before != "" {
		images += `,"OldImage":` + before
	}
	if after != "" {
		images += `,"NewImage":` + after
	}
	return fmt.Sprintf(`{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"%d","ApproximateCreationDateTime":1772366400%s}}`, n, images)
}

func image(name string, version int, city string) string {
	return fmt.Sprintf(`{"pk":{"S":"acme/live/%s"},"sk":{"S":"lead"},"tenant":{"S":"acme/live"},"v":{"N":"%d"},"u":{"N":"1772366400000"},"city":{"S":"%s"}}`, name, version, city)
}

// post sends something to one of the services around the functions, over the
// wire and the build of the context, as often as the clients of the functions
// try. Its answer must be 200.
func post(ctx context.Context, patience time.Duration, operation string, ask any, service http.RoundTripper) (said []byte, err error) {
	const tries = 5
	for try := range tries {
		if said, err = postOnce(ctx, patience, operation, ask, service); err == nil {
			return said, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond << try):
		}
	}
	return nil, err
}

func postOnce(ctx context.Context, patience time.Duration, operation string, ask any, service http.RoundTripper) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://service/", bytes.NewReader(text(ask)))
	if err != nil {
		return nil, err
	}
	resp, err := throughWires(operation, r, service)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return said, err
}

// queue is a queue of SQS. A FIFO one takes each id once.
type queue struct {
	fifo     bool
	patience time.Duration // how long an attempt to send may hang

	mu   sync.Mutex
	sent []ingest.Message
}

// Send implements [ingest.Queue].
func (q *queue) Send(ctx context.Context, some []ingest.Message) error {
	_, err := post(ctx, q.patience, "SendMessageBatch", some, q)
	return err
}

// RoundTrip implements [http.RoundTripper]: it is the service itself.
func (q *queue) RoundTrip(r *http.Request) (*http.Response, error) {
	var some []ingest.Message
	if err := json.NewDecoder(r.Body).Decode(&some); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range some {
		if !q.fifo || !slices.ContainsFunc(q.sent, func(s ingest.Message) bool { return s.ID == m.ID }) {
			q.sent = append(q.sent, m)
		}
	}
	return answers(200, object{})(&exchange{request: r})
}

func (q *queue) all() []ingest.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.sent)
}

func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = nil
}

// files are the one file that there is.
type files struct{}

// Open implements [ingest.Files].
func (files) Open(_ context.Context, _ ingest.File, offset int64) (io.ReadCloser, error) {
	const rows = `{"lead_name":"a"}` + "\n{\n" + `{"lead_name":"b"}` + "\n"
	return io.NopCloser(strings.NewReader(rows[offset:])), nil
}

// bus is a bus of EventBridge. It keeps what it took in.
type bus struct {
	patience time.Duration // as that of a queue

	mu    sync.Mutex
	taken []string // event ids
}

// busAnswer says of each event whether it was refused.
type busAnswer struct{ Refused []bool }

// Put implements [publish.Bus].
func (b *bus) Put(ctx context.Context, events []publish.Event) ([]bool, error) {
	said, err := post(ctx, b.patience, "PutEvents", events, b)
	if err != nil {
		return nil, err
	}
	var a busAnswer
	err = json.Unmarshal(said, &a)
	return a.Refused, err
}

// RoundTrip implements [http.RoundTripper]: it is the service itself.
func (b *bus) RoundTrip(r *http.Request) (*http.Response, error) {
	var events []publish.Event
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		var detail struct {
			ID string `json:"event_id"`
		}
		if err := json.Unmarshal(e.Detail, &detail); err != nil {
			return nil, err
		}
		b.taken = append(b.taken, e.Type+" "+detail.ID)
	}
	return answers(200, busAnswer{make([]bool, len(events))})(&exchange{request: r})
}

// told are the events that whoever goes by their ids has seen, in the order in
// which they first came.
func (b *bus) told() (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.taken {
		if !slices.Contains(lines, e) {
			lines = append(lines, e)
		}
	}
	return lines
}
