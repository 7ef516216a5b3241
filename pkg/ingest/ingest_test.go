package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// world is an ingester over a real engine, with the queues and the files around
// it in memory.
type world struct {
	*ingest.Ingester
	table *dynamo.Table
	meter *dynamotest.Meter
	queue *queue
	dead  *queue
	files files
	log   *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	client, meter := dynamotest.Start(t)
	return worldOn(dynamo.New(client, dynamotest.TableName), meter, "acme")
}

func worldOn(table *dynamo.Table, meter *dynamotest.Meter, account string) *world {
	w := &world{table: table, meter: meter, queue: &queue{}, dead: &queue{fifo: true}, files: files{}, log: &bytes.Buffer{}}
	w.Ingester = &ingest.Ingester{
		Tenant: lead.Tenant{Account: account, Mode: lead.Live}, Leads: table,
		Queue: w.queue, DeadLetters: w.dead, Files: w.files, Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	return w
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Context() context.Context
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// queue is a queue in memory: a FIFO one takes each id once.
type queue struct {
	fifo  bool
	sent  []ingest.Message
	fault func(n int) error // asked before the nth call
	calls int
}

func (q *queue) Send(_ context.Context, messages []ingest.Message) error {
	q.calls++
	if q.fault != nil {
		if err := q.fault(q.calls); err != nil {
			return err
		}
	}
	for _, m := range messages {
		if q.fifo && slices.ContainsFunc(q.sent, func(s ingest.Message) bool { return s.ID == m.ID }) {
			continue
		}
		q.sent = append(q.sent, m)
	}
	return nil
}

// files are objects by "bucket/key", each at one ETag.
type files map[string]struct{ etag, text string }

func (f files) Open(_ context.Context, file ingest.File, offset int64) (io.ReadCloser, error) {
	found, ok := f[file.Bucket+"/"+file.Key]
	if !ok || found.etag != file.ETag {
		return nil, ingest.ErrFileGone
	}
	return io.NopCloser(strings.NewReader(found.text[offset:])), nil
}

// sqsMessage returns a message as Lambda gets it; more are members of it in
// JSON.
func sqsMessage(id, body string, more ...string) string {
	return fmt.Sprintf(`{"messageId":%q,"receiptHandle":"r","body":%s,"attributes":{"ApproximateReceiveCount":"1"},`+
		`"messageAttributes":{},"md5OfBody":"m","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:in","awsRegion":"eu-west-1"%s}`,
		id, quoted(body), strings.Join(append([]string{""}, more...), ","))
}

// again returns a message of the queue as Lambda gets it.
func again(id string, m ingest.Message) string {
	attributes := map[string]any{}
	for name, value := range m.Attributes {
		attributes[name] = map[string]any{"stringValue": value, "dataType": "String"}
	}
	text, _ := json.Marshal(attributes)
	return strings.Replace(sqsMessage(id, m.Body), `"messageAttributes":{}`, `"messageAttributes":`+string(text), 1)
}

func fifoMessage(id, group, body string) string {
	m := strings.Replace(sqsMessage(id, body), `:in"`, `:in.fifo"`, 1)
	return strings.Replace(m, `"attributes":{`, fmt.Sprintf(`"attributes":{"MessageGroupId":%q,"MessageDeduplicationId":"d-%s",`, group, id), 1)
}

func records(r ...string) string { return `{"Records":[` + strings.Join(r, ",") + `]}` }

func snsRecord(id, message string) string {
	return fmt.Sprintf(`{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":"arn:aws:sns:eu-west-1:123456789012:in:x","Sns":{"Type":"Notification","MessageId":%q,"TopicArn":"arn:aws:sns:eu-west-1:123456789012:in","Subject":null,"Message":%s,"Timestamp":"2026-01-01T00:00:00.000Z","MessageAttributes":{}}}`, id, quoted(message))
}

func s3Record(bucket, key, etag string) string {
	return fmt.Sprintf(`{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","bucket":{"name":%q,"arn":"arn:aws:s3:::b"},"object":{"key":%q,"size":1,"eTag":%q,"sequencer":"0A"}}}`, bucket, key, etag)
}

func busEvent(id, detail string) string {
	return fmt.Sprintf(`{"version":"0","id":%q,"detail-type":"Form filled","source":"shop","account":"123456789012","time":"2026-01-01T00:00:00Z","region":"eu-west-1","resources":[],"detail":%s}`, id, detail)
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// invoke returns the answer, or the error as "type: message".
func (w *world) invoke(t tester, payload string) (answer, failure string) {
	t.Helper()
	return w.invokeIn(t, t.Context(), payload)
}

func (w *world) invokeIn(t tester, ctx context.Context, payload string) (answer, failure string) {
	t.Helper()
	if !json.Valid([]byte(payload)) {
		t.Fatalf("the test's event is not JSON: %s", payload)
	}
	got, err := w.Invoke(ctx, []byte(payload))
	var e messages.InvokeResponse_Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("the error %v has no type for Lambda", err)
	}
	if err != nil {
		return "", e.Type + ": " + e.Message
	}
	return string(got), ""
}

// wantFailed fails unless exactly these messages are to be delivered again.
func (w *world) wantFailed(t tester, payload string, want ...string) {
	t.Helper()
	answer, failure := w.invoke(t, payload)
	items := []string{}
	for _, id := range want {
		items = append(items, `{"itemIdentifier":"`+id+`"}`)
	}
	if wanted := `{"batchItemFailures":[` + strings.Join(items, ",") + `]}`; answer != wanted {
		t.Errorf("answer %s %s, want %s", answer, failure, wanted)
	}
}

// names returns the lead_name of every lead, sorted, and holds the total to
// them.
func (w *world) names(t tester) (names []string) {
	t.Helper()
	for offset := int64(0); ; offset += 100 {
		leads, total, err := w.table.List(context.Background(), w.Tenant, 100, offset)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leads {
			names = append(names, fmt.Sprint(l.Values[0]))
		}
		if int64(len(names)) >= total || len(leads) == 0 {
			if int64(len(names)) != total {
				t.Fatalf("%d leads and a total of %d", len(names), total)
			}
			slices.Sort(names)
			return names
		}
	}
}

func (w *world) wantNames(t tester, want ...string) {
	t.Helper()
	if got := w.names(t); !slices.Equal(got, want) {
		t.Errorf("the leads are %q, want %q", got, want)
	}
}

// wantDead fails unless these are the dead letters: "code body".
func (w *world) wantDead(t tester, want ...string) {
	t.Helper()
	var got []string
	for _, m := range w.dead.sent {
		if m.Attributes["reason"] == "" || m.Attributes["origin"] == "" || m.ID == "" {
			t.Errorf("the letter %+v lacks its reason, origin or id", m)
		}
		got = append(got, m.Attributes["code"]+" "+m.Body)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the dead letters are %q, want %q", got, want)
	}
}

func TestEveryKind(t *testing.T) {
	const body = `{"lead_name":"Ada","annual_revenue":1.50,"id":"ignored"}`
	for kind, event := range map[string]string{
		"SQS":         records(sqsMessage("m1", body)),
		"EventBridge": busEvent("e1", body),
		"SNS":         records(snsRecord("n1", body)),
		"a call":      `{"leads":[` + body + `]}`,
	} {
		t.Run(kind+" makes a lead of the tenant, whatever the payload says", func(t *testing.T) {
			w := newWorld(t)
			if _, failure := w.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			leads, total, err := w.table.List(t.Context(), w.Tenant, 10, 0)
			if err != nil || total != 1 || leads[0].Values[0] != "Ada" || leads[0].Values[33] != lead.Number("1.5") {
				t.Fatalf("%v, %v", leads, err)
			}
		})
		t.Run(kind+" makes it once however often it comes", func(t *testing.T) {
			w := newWorld(t)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
			for range 3 {
				if _, failure := w.invokeIn(t, ctx, event); failure != "" {
					t.Fatal(failure)
				}
			}
			w.wantNames(t, "Ada")
		})
		t.Run(kind+" puts what can never be a lead aside with its reason", func(t *testing.T) {
			w := newWorld(t)
			poisoned := strings.NewReplacer("Ada", "Bob", `lead_name`, `leed_name`).Replace(event)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
			for range 2 { // as after a crash between the letter and the answer
				if _, failure := w.invokeIn(t, ctx, poisoned); failure != "" {
					t.Fatal(failure)
				}
			}
			w.wantNames(t)
			w.wantDead(t, "parameter_unknown "+strings.NewReplacer("Ada", "Bob", "lead_name", "leed_name").Replace(body))
			if reason := w.dead.sent[0].Attributes["reason"]; reason != "No field has this name; did you mean lead_name?" {
				t.Errorf("reason %q", reason)
			}
			if strings.Contains(w.log.String(), "Bob") {
				t.Errorf("the log has what was sent: %s", w.log)
			}
		})
		t.Run(kind+" is delivered again when the database is away", func(t *testing.T) {
			w := newWorld(t)
			w.meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
				return nil, errors.New("connection refused")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3100*time.Millisecond) // 100 ms more than the margin
			defer cancel()
			answer, failure := w.invokeIn(t, ctx, event)
			if kind == "SQS" && answer != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` ||
				kind != "SQS" && !strings.HasPrefix(failure, "unavailable: ") {
				t.Errorf("answer %s, error %s", answer, failure)
			}
			w.meter.Fault = nil
			w.wantDead(t)
			if _, failure := w.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			w.wantNames(t, "Ada")
		})
		t.Run(kind+" is delivered again when a dead letter cannot be sent", func(t *testing.T) {
			w := newWorld(t)
			w.dead.fault = func(int) error { return errors.New("no route to host") }
			answer, failure := w.invoke(t, strings.Replace(event, "lead_name", "leed_name", 1))
			if kind == "SQS" && answer != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` || kind != "SQS" && failure == "" {
				t.Errorf("answer %s, error %s", answer, failure)
			}
		})
	}
}

func TestEnvelope(t *testing.T) {
	for outcome, event := range map[string]string{
		"nothing":               `{}`,
		"no object":             `[1]`,
		"null":                  `null`,
		"an HTTP request":       `{"version":"2.0","routeKey":"$default","rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"{\"leads\":[]}"}`,
		"no records":            `{"Records":[]}`,
		"a table's stream":      records(`{"eventSource":"aws:dynamodb","dynamodb":{}}`),
		"two kinds at once":     records(sqsMessage("m1", "{}"), snsRecord("n1", "{}")),
		"a record of two kinds": records(strings.Replace(sqsMessage("m1", "{}"), `"eventSource"`, `"EventSource":"aws:sns","eventSource"`, 1)),
		"records beside leads":  `{"Records":[` + sqsMessage("m1", "{}") + `],"leads":[{}]}`,
		"a name twice":          `{"leads":[{}],"leads":[{},{}]}`,
		"a message with no id":  records(sqsMessage("", "{}")),
		"a removed file":        records(strings.Replace(s3Record("b", "a.csv", "e"), "ObjectCreated:Put", "ObjectRemoved:Delete", 1)),
		"a call for others":     `{"leads":[{}],"account":"other"}`,
		"a call without leads":  `{"leads":null}`,
		"a call with too many":  `{"leads":[` + strings.Repeat("{},", 100) + `{}]}`,
		"a call badly named":    `{"leads":[{}],"idempotency_key":""}`,
	} {
		t.Run("refuses "+outcome, func(t *testing.T) {
			w := newWorld(t)
			answer, failure := w.invoke(t, event)
			if !strings.HasPrefix(failure, "json_invalid: ") && !strings.HasPrefix(failure, "parameter_invalid: ") || !strings.Contains(failure, "Send ") {
				t.Errorf("answer %s, error %q, want one that says what to send", answer, failure)
			}
			w.wantNames(t)
		})
	}
	t.Run("takes no kind from what a record holds", func(t *testing.T) {
		w := newWorld(t)
		var messages []string
		bodies := []string{
			records(s3Record("b", "a.csv", "e")), records(sqsMessage("m2", `{"lead_name":"in"}`)), busEvent("e", `{"lead_name":"in"}`),
			`{"leads":[{"lead_name":"in"}]}`, `{"Type":"Notification","MessageId":"x","Message":"{}"}`,
			`{"file":{"bucket":"b","key":"a.csv","etag":"e"},"rows":[{"line":2,"lead":"{}"}]}`, `{"account":"other","mode":"test"}`,
		}
		for i, body := range bodies {
			messages = append(messages, sqsMessage(fmt.Sprint("m", i), body))
		}
		w.wantFailed(t, records(messages...))
		w.wantNames(t)
		if len(w.dead.sent) != len(bodies) || len(w.queue.sent) > 0 {
			t.Errorf("%d dead letters of %d", len(w.dead.sent), len(bodies))
		}
	})
	t.Run("lets half a character spoil its record alone", func(t *testing.T) {
		w := newWorld(t)
		w.wantFailed(t, records(sqsMessage("m1", `{"lead_name":"Ada"}`),
			strings.Replace(sqsMessage("m2", `{"lead_name":"HALF"}`), "HALF", `\ud800`, 1)))
		w.wantNames(t, "Ada")
		if len(w.dead.sent) != 1 || w.dead.sent[0].Attributes["code"] != "json_invalid" {
			t.Errorf("dead letters %+v", w.dead.sent)
		}
	})
}

func TestSQS(t *testing.T) {
	attribute := func(key string) string {
		return `"messageAttributes":{"idempotency_key":{"stringValue":` + quoted(key) + `,"dataType":"String"}}`
	}
	keyed := func(id, key, body string) string {
		return strings.Replace(sqsMessage(id, body), `"messageAttributes":{}`, attribute(key), 1)
	}
	t.Run("makes the leads of a batch in one transaction", func(t *testing.T) {
		w := newWorld(t)
		var batch []string
		for i := range 10 {
			batch = append(batch, sqsMessage(fmt.Sprint("m", i), fmt.Sprintf(`{"lead_name":"n%d"}`, i)))
		}
		w.wantFailed(t, records(batch...))
		if requests, _, _ := w.meter.Cost(); requests != 1 {
			t.Errorf("%d requests for ten messages, want 1", requests)
		}
	})
	t.Run("goes by the sender's idempotency_key", func(t *testing.T) {
		w := newWorld(t)
		w.wantFailed(t, records(keyed("m1", "k", `{"lead_name":"Ada"}`), keyed("m2", "k", ` { "lead_name" : "Ada" } `), keyed("m3", "k", `{"lead_name":"Bob"}`), keyed("m4", "k", `{"lead_name":"Eve"}`)))
		w.wantNames(t, "Ada")
		w.wantDead(t, `idempotency_key_reused {"lead_name":"Bob"}`, `idempotency_key_reused {"lead_name":"Eve"}`)
	})
	t.Run("keeps its keys apart from those of HTTP and of other sources", func(t *testing.T) {
		w := newWorld(t)
		once := lead.IdempotencyKey{Source: "http", Key: "k", TTL: time.Hour}
		if _, _, err := w.table.Create(t.Context(), w.Tenant, lead.Defaults(), once); err != nil {
			t.Fatal(err)
		}
		w.wantFailed(t, records(keyed("m1", "k", `{"lead_name":"a"}`)))
		w.invoke(t, `{"idempotency_key":"k","leads":[{"lead_name":"b"}]}`)
		w.invoke(t, records(strings.Replace(snsRecord("n1", `{"lead_name":"c"}`), `"MessageAttributes":{}`, `"MessageAttributes":{"idempotency_key":{"Type":"String","Value":"k"}}`, 1)))
		w.wantNames(t, "<nil>", "a", "b", "c")
	})
	t.Run("refuses an idempotency_key that HTTP would refuse", func(t *testing.T) {
		w := newWorld(t)
		w.wantFailed(t, records(keyed("m1", "", "{}"), keyed("m2", "ä", "{}"), keyed("m3", strings.Repeat("k", 256), "{}"), keyed("m4", strings.Repeat("k", 255), `{"lead_name":"Ada"}`)))
		w.wantNames(t, "Ada")
		w.wantDead(t, "parameter_invalid {}", "parameter_invalid {}", "parameter_invalid {}")
	})
	t.Run("goes by a FIFO queue's deduplication id where the sender gave it", func(t *testing.T) {
		w := newWorld(t)
		same := func(m string) string { return strings.Replace(m, `"d-m2"`, `"d-m1"`, 1) }
		w.wantFailed(t, records(fifoMessage("m1", "g", `{"lead_name":"Ada"}`)))
		w.wantFailed(t, records(same(fifoMessage("m2", "g", `{"lead_name":"Ada"}`))))
		w.wantNames(t, "Ada")
	})
	t.Run("makes two leads of two equal bodies that a FIFO queue lets through", func(t *testing.T) {
		// Its own digest of the body, with ContentBasedDeduplication, is no
		// sender's name: five minutes later the same body is another message.
		w := newWorld(t)
		const body = `{"lead_name":"Bob"}`
		for _, id := range []string{"m3", "m4"} {
			event := records(strings.Replace(fifoMessage(id, "g", body), `"d-`+id+`"`, fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(body))), 1))
			for range 2 { // each redelivered
				w.wantFailed(t, event)
			}
		}
		w.wantNames(t, "Bob", "Bob")
	})
	t.Run("stops a FIFO group at its first failure and no other group", func(t *testing.T) {
		w := newWorld(t)
		w.Leads = &failing{w.table, "bad"}
		w.wantFailed(t, records(
			fifoMessage("m1", "a", `{"lead_name":"a1"}`), fifoMessage("m2", "b", `{"lead_name":"b1"}`),
			fifoMessage("m3", "a", `{"lead_name":"bad"}`), fifoMessage("m4", "a", `{"lead_name":"a3"}`), fifoMessage("m5", "b", `{"lead_name":"b2"}`),
		), "m3", "m4")
		w.wantNames(t, "a1", "b1", "b2")
	})
	t.Run("does not stop a FIFO group at what is put aside", func(t *testing.T) {
		w := newWorld(t)
		w.wantFailed(t, records(fifoMessage("m1", "a", `{"lead_name":1}`), fifoMessage("m2", "a", `{"lead_name":"a2"}`)))
		w.wantNames(t, "a2")
		w.wantDead(t, `parameter_invalid {"lead_name":1}`)
	})
	t.Run("does not stop at a failure in a queue that is not FIFO", func(t *testing.T) {
		w := newWorld(t)
		w.Leads = &failing{w.table, "bad"}
		group := `"attributes":{"MessageGroupId":"a",` // a fair queue has groups too
		w.wantFailed(t, records(strings.Replace(sqsMessage("m1", `{"lead_name":"bad"}`), `"attributes":{`, group, 1),
			strings.Replace(sqsMessage("m2", `{"lead_name":"ok"}`), `"attributes":{`, group, 1)), "m1")
		w.wantNames(t, "ok")
	})
	t.Run("fails one record for a panic", func(t *testing.T) {
		w := newWorld(t)
		w.Leads = &failing{w.table, "panic"}
		w.wantFailed(t, records(sqsMessage("m1", `{"lead_name":"a"}`), sqsMessage("m2", `{"lead_name":"panic"}`), sqsMessage("m3", `{"lead_name":"b"}`)), "m2")
		w.wantNames(t, "a", "b")
		w.wantDead(t)
	})
	t.Run("refuses a body that HTTP would refuse for its size", func(t *testing.T) {
		w := newWorld(t)
		body := `{"lead_name":"Ada"` + strings.Repeat(" ", 128<<10) + `}`
		w.wantFailed(t, records(sqsMessage("m1", body)))
		w.wantDead(t, "json_invalid "+body)
	})
}

// failing is a store that fails for one name.
type failing struct {
	*dynamo.Table
	name string
}

func (f *failing) CreateMany(ctx context.Context, t lead.Tenant, all []lead.CreateRequest) []lead.CreateResult {
	var outcomes []lead.CreateResult
	for _, c := range all {
		switch {
		case c.Values[0] == f.name && f.name == "panic":
			panic("a fault of ours")
		case c.Values[0] == f.name:
			outcomes = append(outcomes, lead.CreateResult{Err: &lead.UnavailableError{Err: errors.New("busy")}})
		default:
			outcomes = append(outcomes, f.Table.CreateMany(ctx, t, []lead.CreateRequest{c})...)
		}
	}
	return outcomes
}

func TestCall(t *testing.T) {
	t.Run("answers each lead in its place", func(t *testing.T) {
		w := newWorld(t)
		event := `{"leads":[{"lead_name":"Ada"},{"email_id":"x","phon":1},"text",{"lead_name":"Bob"}],"idempotency_key":"k"}`
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
		for _, replayed := range []bool{false, true} {
			answer, failure := w.invokeIn(t, ctx, event)
			if failure != "" {
				t.Fatal(failure)
			}
			var got struct {
				Results []struct {
					Lead     map[string]any
					Replayed bool
					Error    struct {
						Code      string
						Param     *string
						RequestID string `json:"request_id"`
						Errors    []any
					}
				}
			}
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatal(err)
			}
			r := got.Results
			if len(r) != 4 || r[0].Lead["lead_name"] != "Ada" || len(r[0].Lead) != 45 || r[0].Replayed != replayed ||
				r[3].Lead["lead_name"] != "Bob" || r[1].Error.Code != "parameter_invalid" || *r[1].Error.Param != "email_id" ||
				len(r[1].Error.Errors) != 2 || r[2].Error.Code != "json_invalid" || r[2].Error.RequestID != "r1" {
				t.Errorf("answer %s", answer)
			}
		}
		w.wantNames(t, "Ada", "Bob")
	})
	t.Run("answers none with none", func(t *testing.T) {
		w := newWorld(t)
		if answer, failure := w.invoke(t, `{"leads":[]}`); answer != `{"results":[]}` {
			t.Error(answer, failure)
		}
	})
}

// TestAnyDelivery delivers records of all kinds again and again, in any order and
// company, while the database and the queues fail in all ways, and holds what
// came of it to one delivery of each.
func TestAnyDelivery(t *testing.T) {
	client, meter := dynamotest.Start(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		meter.Fault = nil
		w := worldOn(dynamo.New(client, dynamotest.TableName), meter, fmt.Sprint("a", n))
		seed := rapid.Uint64().Draw(rt, "seed")
		random := rand.New(rand.NewPCG(seed, 1))

		var want, dead []string // names of leads, bodies of dead letters
		var standard []string   // SQS messages, which come in any company
		var events []string     // what comes alone
		body := func(i int) string {
			if random.IntN(4) == 0 {
				b := fmt.Sprintf(`{"lead_name":%d}`, i)
				dead = append(dead, b)
				return b
			}
			want = append(want, fmt.Sprintf("n%02d", i))
			return fmt.Sprintf(`{"lead_name":"n%02d"}`, i)
		}
		for i := range 12 {
			id := fmt.Sprint("id", i)
			switch b := body(i); random.IntN(5) {
			case 0, 1:
				standard = append(standard, sqsMessage(id, b))
			case 2:
				events = append(events, busEvent(id, b))
			case 3:
				events = append(events, records(snsRecord(id, b)))
			case 4:
				w.files["b/"+id+".ndjson"] = struct{ etag, text string }{"e", b + "\n"}
				events = append(events, records(s3Record("b", id+".ndjson", "e")))
			}
		}

		var mu sync.Mutex
		faulty := true
		meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			fault := 9
			if faulty {
				fault = random.IntN(6)
			}
			mu.Unlock()
			switch fault {
			case 0:
				return nil, errors.New("connection refused")
			case 1: // done, and the answer is lost
				if resp, err := send.RoundTrip(r); err == nil {
					resp.Body.Close()
				}
				return nil, errors.New("connection reset")
			}
			return send.RoundTrip(r)
		}
		defer func() { meter.Fault = nil }()
		queueFault := func(int) error {
			if faulty && random.IntN(3) == 0 {
				return errors.New("SQS is away")
			}
			return nil
		}
		w.queue.fault, w.dead.fault = queueFault, queueFault

		deliver := func(some []string, alone string) {
			if len(some) > 0 {
				w.invoke(rt, records(some...))
			}
			if alone != "" {
				w.invoke(rt, alone)
			}
		}
		fromQueue := func() (all []string) {
			for i, m := range w.queue.sent {
				all = append(all, again(fmt.Sprint("q", i), m))
			}
			return all
		}
		for range rapid.IntRange(0, 6).Draw(rt, "rounds") {
			messages := append(slices.Clone(standard), fromQueue()...)
			random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			deliver(messages[:random.IntN(len(messages)+1)], "")
			if len(events) > 0 {
				deliver(nil, events[random.IntN(len(events))])
			}
		}
		// In the end the faults are over and all is delivered once more.
		faulty = false
		deliver(standard, "")
		for _, e := range events {
			deliver(nil, e)
		}
		deliver(fromQueue(), "")

		w.wantNames(rt, want...)
		letters := map[string]bool{}
		for _, m := range w.dead.sent {
			letters[m.Body] = true
		}
		slices.Sort(dead)
		if got := slices.Sorted(maps.Keys(letters)); !slices.Equal(got, dead) || len(w.dead.sent) != len(dead) {
			rt.Errorf("the dead letters are %q (%d), want %q", got, len(w.dead.sent), dead)
		}
	})
}
