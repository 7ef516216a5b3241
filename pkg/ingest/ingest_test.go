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
	"overplane.dev/leads/pkg/queue"
	"overplane.dev/leads/test/dynamotest"
)

// fixture is an ingester with a real database, and with queues and files in
// memory.
type fixture struct {
	*ingest.Ingester
	table *dynamo.Table
	meter *dynamotest.Meter
	queue *memoryQueue
	dlq   *memoryQueue
	files files
	log   *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	client, meter := dynamotest.Start(t)
	return newFixtureOn(dynamo.New(client, dynamotest.TableName), meter, "acme")
}

func newFixtureOn(table *dynamo.Table, meter *dynamotest.Meter, account string) *fixture {
	f := &fixture{table: table, meter: meter, queue: &memoryQueue{}, dlq: &memoryQueue{fifo: true}, files: files{}, log: &bytes.Buffer{}}
	f.Ingester = &ingest.Ingester{
		Tenant: lead.Tenant{Account: account, Mode: lead.Live}, Leads: table,
		Queue: f.queue, DeadLetters: f.dlq, Files: f.files, Log: slog.New(slog.NewJSONHandler(f.log, nil)),
	}
	return f
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Context() context.Context
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// memoryQueue is a queue in memory. A FIFO queue accepts each id once.
type memoryQueue struct {
	fifo  bool
	sent  []queue.Message
	fault func(n int) error // returns the error of the nth call
	calls int
}

func (q *memoryQueue) Send(_ context.Context, messages []queue.Message) error {
	q.calls++
	if q.fault != nil {
		if err := q.fault(q.calls); err != nil {
			return err
		}
	}
	for _, m := range messages {
		if q.fifo && slices.ContainsFunc(q.sent, func(s queue.Message) bool { return s.ID == m.ID }) {
			continue
		}
		q.sent = append(q.sent, m)
	}
	return nil
}

// files are the objects in S3 by "bucket/key".
type files map[string]object

type object struct{ etag, text, mapping string }

func (f files) Open(_ context.Context, file ingest.File, offset int64) (io.ReadCloser, string, error) {
	found, ok := f[file.Bucket+"/"+file.Key]
	if !ok || file.ETag != "" && found.etag != file.ETag {
		return nil, "", ingest.ErrFileGone
	}
	return io.NopCloser(strings.NewReader(found.text[offset:])), found.mapping, nil
}

func (f files) Put(_ context.Context, bucket, key string, content []byte) error {
	f[bucket+"/"+key] = object{text: string(content)}
	return nil
}

// sqsMessage returns a message as Lambda delivers it, with more members in JSON.
func sqsMessage(id, body string, more ...string) string {
	return fmt.Sprintf(`{"messageId":%q,"receiptHandle":"r","body":%s,"attributes":{"ApproximateReceiveCount":"1"},`+
		`"messageAttributes":{},"md5OfBody":"m","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:in","awsRegion":"eu-west-1"%s}`,
		id, quoted(body), strings.Join(append([]string{""}, more...), ","))
}

// delivered returns a message of the queue as Lambda delivers it.
func delivered(id string, m queue.Message) string {
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

// invoke calls the function and returns its answer, or its error as "type:
// message".
func (f *fixture) invoke(t tester, payload string) (answer, failure string) {
	t.Helper()
	return f.invokeIn(t, t.Context(), payload)
}

func (f *fixture) invokeIn(t tester, ctx context.Context, payload string) (answer, failure string) {
	t.Helper()
	if !json.Valid([]byte(payload)) {
		t.Fatalf("the test's event is not JSON: %s", payload)
	}
	got, err := f.Invoke(ctx, []byte(payload))
	var e messages.InvokeResponse_Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("the error %v has no type for Lambda", err)
	}
	if err != nil {
		return "", e.Type + ": " + e.Message
	}
	return string(got), ""
}

// wantFailed fails unless exactly these messages must be delivered again.
func (f *fixture) wantFailed(t tester, payload string, want ...string) {
	t.Helper()
	answer, failure := f.invoke(t, payload)
	items := []string{}
	for _, id := range want {
		items = append(items, `{"itemIdentifier":"`+id+`"}`)
	}
	if wanted := `{"batchItemFailures":[` + strings.Join(items, ",") + `]}`; answer != wanted {
		t.Errorf("answer %s %s, want %s", answer, failure, wanted)
	}
}

// names returns the lead_name of each lead, sorted. It fails if the total differs
// from their number.
func (f *fixture) names(t tester) (names []string) {
	t.Helper()
	for offset := int64(0); ; offset += 100 {
		page, err := f.table.List(context.Background(), f.Tenant, lead.ListQuery{Limit: 100, Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		leads, total := page.Leads, page.Total
		for _, l := range leads {
			names = append(names, fmt.Sprint(l.Values[0]))
		}
		if int64(len(names)) >= total || len(leads) == 0 {
			if int64(len(names)) != total {
				t.Fatalf("%d leads, but the total is %d", len(names), total)
			}
			slices.Sort(names)
			return names
		}
	}
}

func (f *fixture) wantNames(t tester, want ...string) {
	t.Helper()
	if got := f.names(t); !slices.Equal(got, want) {
		t.Errorf("the leads are %q, want %q", got, want)
	}
}

// wantDLQ fails unless the DLQ has exactly these records, each as "code body".
func (f *fixture) wantDLQ(t tester, want ...string) {
	t.Helper()
	var got []string
	for _, m := range f.dlq.sent {
		if m.Attributes["reason"] == "" || m.Attributes["origin"] == "" || m.ID == "" {
			t.Errorf("the message %+v lacks reason, origin or id", m)
		}
		got = append(got, m.Attributes["code"]+" "+m.Body)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the DLQ has %q, want %q", got, want)
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
		t.Run(kind+" creates a lead of the configured tenant", func(t *testing.T) {
			f := newFixture(t)
			if _, failure := f.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			page, err := f.table.List(t.Context(), f.Tenant, lead.ListQuery{Limit: 10})
			if err != nil || page.Total != 1 || page.Leads[0].Values[0] != "Ada" || page.Leads[0].Values[33] != lead.Number("1.5") {
				t.Fatalf("%v, %v", page, err)
			}
		})
		t.Run(kind+" creates one lead for three deliveries", func(t *testing.T) {
			f := newFixture(t)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
			for range 3 {
				if _, failure := f.invokeIn(t, ctx, event); failure != "" {
					t.Fatal(failure)
				}
			}
			f.wantNames(t, "Ada")
		})
		t.Run(kind+" sends an invalid lead to the DLQ with the reason", func(t *testing.T) {
			f := newFixture(t)
			poisoned := strings.NewReplacer("Ada", "Bob", `lead_name`, `leed_name`).Replace(event)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
			for range 2 { // as after a crash between DLQ and answer
				if _, failure := f.invokeIn(t, ctx, poisoned); failure != "" {
					t.Fatal(failure)
				}
			}
			f.wantNames(t)
			f.wantDLQ(t, "parameter_unknown "+strings.NewReplacer("Ada", "Bob", "lead_name", "leed_name").Replace(body))
			if reason := f.dlq.sent[0].Attributes["reason"]; reason != `"leed_name": No field has this name; did you mean lead_name?` {
				t.Errorf("reason %q", reason)
			}
			if strings.Contains(f.log.String(), "Bob") {
				t.Errorf("the log contains personal data: %s", f.log)
			}
		})
		t.Run(kind+" is delivered again after a database error", func(t *testing.T) {
			f := newFixture(t)
			f.meter.Fault = func(string, *http.Request, http.RoundTripper) (*http.Response, error) {
				return nil, errors.New("connection refused")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3100*time.Millisecond) // 100 ms more than the margin
			defer cancel()
			answer, failure := f.invokeIn(t, ctx, event)
			if kind == "SQS" && answer != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` ||
				kind != "SQS" && !strings.HasPrefix(failure, "unavailable: ") {
				t.Errorf("answer %s, error %s", answer, failure)
			}
			f.meter.Fault = nil
			f.wantDLQ(t)
			if _, failure := f.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			f.wantNames(t, "Ada")
		})
		t.Run(kind+" is delivered again if the DLQ fails", func(t *testing.T) {
			f := newFixture(t)
			f.dlq.fault = func(int) error { return errors.New("no route to host") }
			answer, failure := f.invoke(t, strings.Replace(event, "lead_name", "leed_name", 1))
			if kind == "SQS" && answer != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` || kind != "SQS" && failure == "" {
				t.Errorf("answer %s, error %s", answer, failure)
			}
		})
	}
}

func TestEnvelope(t *testing.T) {
	for kind, event := range map[string]string{
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
		"a tag's name twice":    `{"id":"e1","detail-type":"d","resources":[{"a":1,"a":2}],"detail":{}}`,
		"a record's name twice": records(strings.Replace(sqsMessage("m1", "{}"), `{"messageId"`, `{"messageId":"m0","messageId"`, 1)),
		"a name in upper case":  `{"leads":[{}],"LEADS":[{},{}]}`,
		"a message with no id":  records(sqsMessage("", "{}")),
		"a removed file":        records(strings.Replace(s3Record("b", "a.csv", "e"), "ObjectCreated:Put", "ObjectRemoved:Delete", 1)),
		"a call for others":     `{"leads":[{}],"account":"other"}`,
		"a call without leads":  `{"leads":null}`,
		"a call with too many":  `{"leads":[` + strings.Repeat("{},", 100) + `{}]}`,
		"a call badly named":    `{"leads":[{}],"idempotency_key":""}`,
	} {
		t.Run("refuses "+kind, func(t *testing.T) {
			f := newFixture(t)
			answer, failure := f.invoke(t, event)
			if !strings.HasPrefix(failure, "json_invalid: ") && !strings.HasPrefix(failure, "parameter_invalid: ") || !strings.Contains(failure, "Send ") {
				t.Errorf("answer %s, error %q, want a message that says what to send", answer, failure)
			}
			f.wantNames(t)
		})
	}
	t.Run("does not depend on the content of records", func(t *testing.T) {
		f := newFixture(t)
		var messages []string
		bodies := []string{
			records(s3Record("b", "a.csv", "e")), records(sqsMessage("m2", `{"lead_name":"in"}`)), busEvent("e", `{"lead_name":"in"}`),
			`{"leads":[{"lead_name":"in"}]}`, `{"Type":"Notification","MessageId":"x","Message":"{}"}`,
			`{"file":{"bucket":"b","key":"a.csv","etag":"e"},"rows":[{"line":2,"lead":"{}"}]}`, `{"account":"other","mode":"test"}`,
		}
		for i, body := range bodies {
			messages = append(messages, sqsMessage(fmt.Sprint("m", i), body))
		}
		f.wantFailed(t, records(messages...))
		f.wantNames(t)
		if len(f.dlq.sent) != len(bodies) || len(f.queue.sent) > 0 {
			t.Errorf("the DLQ has %d records, want %d", len(f.dlq.sent), len(bodies))
		}
	})
	ada, bad := `{"lead_name":"Ada"}`, `{"lead_name":"BAD"}`
	for source, event := range map[string]string{
		"SQS":           records(sqsMessage("m1", ada), sqsMessage("m2", bad)),
		"SNS":           records(snsRecord("n1", ada), snsRecord("n2", bad)),
		"a call":        `{"leads":[` + ada + `,` + bad + `]}`,
		"EventBridge":   busEvent("e1", bad),
		"rows of files": records(sqsMessage("m1", ada), delivered("m2", queue.Message{Body: `{"file":{"bucket":"b","key":"k","etag":"e"},"rows":[{"line":1,"lead":` + quoted(bad) + `}]}`, Attributes: map[string]string{"leads_content": "rows"}})),
	} {
		for _, invalid := range []string{`\ud800`, `\udc00\ud800`, "\xff"} {
			t.Run(fmt.Sprintf("of %s rejects only the record with %q", source, invalid), func(t *testing.T) {
				f := newFixture(t)
				if answer, failure := f.invoke(t, strings.Replace(event, "BAD", invalid, 1)); failure != "" || strings.Contains(answer, "itemIdentifier") {
					t.Error(answer, failure)
				}
				if names := f.names(t); len(names) > 1 || len(names) == 1 && names[0] != "Ada" || len(names) == 0 && source != "EventBridge" {
					t.Errorf("the leads are %q", names)
				}
				if len(f.dlq.sent) != 1 || f.dlq.sent[0].Attributes["code"] != "json_invalid" {
					t.Errorf("the DLQ has %+v", f.dlq.sent)
				}
			})
		}
	}
}

func TestNameTwiceInALead(t *testing.T) {
	const bad = `{"lead_name":"a","lead_name":"b"}`
	for source, event := range map[string]string{
		"SQS":         records(sqsMessage("m1", bad)),
		"SNS":         records(snsRecord("n1", bad)),
		"EventBridge": busEvent("e1", bad),
		"a call":      `{"leads":[` + bad + `]}`,
	} {
		f := newFixture(t)
		if answer, failure := f.invoke(t, event); failure != "" || strings.Contains(answer, "itemIdentifier") {
			t.Errorf("%s: %s %s", source, answer, failure)
		}
		f.wantNames(t)
		f.wantDLQ(t, "json_invalid "+bad)
	}
}

func TestSQS(t *testing.T) {
	attribute := func(key string) string {
		return `"messageAttributes":{"idempotency_key":{"stringValue":` + quoted(key) + `,"dataType":"String"}}`
	}
	keyed := func(id, key, body string) string {
		return strings.Replace(sqsMessage(id, body), `"messageAttributes":{}`, attribute(key), 1)
	}
	snsKeyed := func(id, key, message string) string {
		return strings.Replace(snsRecord(id, message), `"MessageAttributes":{}`, `"MessageAttributes":{"idempotency_key":{"Type":"String","Value":`+quoted(key)+`}}`, 1)
	}
	t.Run("creates the leads of a batch in one transaction", func(t *testing.T) {
		f := newFixture(t)
		var batch []string
		for i := range 10 {
			batch = append(batch, sqsMessage(fmt.Sprint("m", i), fmt.Sprintf(`{"lead_name":"n%d"}`, i)))
		}
		f.wantFailed(t, records(batch...))
		if requests, _, _ := f.meter.Cost(); requests != 1 {
			t.Errorf("%d requests for ten messages, want 1", requests)
		}
	})
	t.Run("uses the idempotency_key of the sender", func(t *testing.T) {
		f := newFixture(t)
		f.wantFailed(t, records(keyed("m1", "k", `{"lead_name":"Ada"}`), keyed("m2", "k", ` { "lead_name" : "Ada" } `), keyed("m3", "k", `{"lead_name":"Bob"}`), keyed("m4", "k", `{"lead_name":"Eve"}`)))
		f.wantNames(t, "Ada")
		f.wantDLQ(t, `idempotency_key_reused {"lead_name":"Bob"}`, `idempotency_key_reused {"lead_name":"Eve"}`)
	})
	t.Run("does not share keys with HTTP and other sources", func(t *testing.T) {
		f := newFixture(t)
		key := lead.IdempotencyKey{Source: "http", Key: "k", TTL: time.Hour}
		if _, _, err := f.table.Create(t.Context(), f.Tenant, lead.Defaults(), key); err != nil {
			t.Fatal(err)
		}
		f.wantFailed(t, records(keyed("m1", "k", `{"lead_name":"a"}`)))
		f.invoke(t, `{"idempotency_key":"k","leads":[{"lead_name":"b"}]}`)
		f.invoke(t, records(snsKeyed("n1", "k", `{"lead_name":"c"}`)))
		f.wantNames(t, "<nil>", "a", "b", "c")
	})
	t.Run("rejects an idempotency_key that HTTP would reject", func(t *testing.T) {
		f := newFixture(t)
		f.wantFailed(t, records(keyed("m1", "", "{}"), keyed("m2", "ä", "{}"), keyed("m3", strings.Repeat("k", 256), "{}"), keyed("m4", strings.Repeat("k", 255), `{"lead_name":"Ada"}`)))
		f.wantNames(t, "Ada")
		f.wantDLQ(t, "parameter_invalid {}", "parameter_invalid {}", "parameter_invalid {}")
	})
	t.Run("rejects a misspelled idempotency_key and keeps its value", func(t *testing.T) {
		for _, name := range []string{"Idempotency-Key", "idempotencyKey", "IDEMPOTENCY_KEY", "idempotent-key", "x-idempotency-token"} {
			f := newFixture(t)
			rename := func(event string) string { return strings.ReplaceAll(event, `"idempotency_key":`, `"`+name+`":`) }
			f.wantFailed(t, rename(records(keyed("m1", "k", `{"lead_name":"Ada"}`), keyed("m2", "k", `{"lead_name":"Ada"}`))))
			f.invoke(t, rename(records(snsKeyed("n1", "k", `{"lead_name":"Ada"}`))))
			f.wantNames(t)
			f.wantDLQ(t, `parameter_unknown {"lead_name":"Ada"}`, `parameter_unknown {"lead_name":"Ada"}`, `parameter_unknown {"lead_name":"Ada"}`)
			for _, m := range f.dlq.sent {
				if !strings.Contains(m.Attributes["reason"], name) || m.Attributes["idempotency_key"] != "k" {
					t.Errorf("attributes %v, want a reason with %s, and the key", m.Attributes, name)
				}
			}
		}
	})
	t.Run("keeps the idempotency_key of a rejected record, so that the corrected one has it", func(t *testing.T) {
		f := newFixture(t)
		const invalid, valid = `{"lead_name":1}`, `{"lead_name":"Ada"}`
		f.wantFailed(t, records(keyed("m1", "k1", invalid), sqsMessage("m2", invalid), keyed("m3", "ä", valid)))
		f.invoke(t, records(snsKeyed("n1", "k2", invalid)))
		f.invoke(t, `{"idempotency_key":"k3","leads":[{},`+invalid+`]}`)
		var keys []string
		for _, m := range f.dlq.sent {
			keys = append(keys, m.Attributes["idempotency_key"])
		}
		if want := []string{"k1", "", "", "k2", "k3/1"}; !slices.Equal(keys, want) {
			t.Errorf("keys %q, want %q", keys, want)
		}
		corrected := f.dlq.sent[0]
		corrected.Body = valid
		f.wantFailed(t, records(delivered("m4", corrected)))
		f.wantFailed(t, records(keyed("m5", "k1", valid)))
		f.wantNames(t, "<nil>", "Ada")
	})
	t.Run("uses the deduplication id that the sender gave to a FIFO queue", func(t *testing.T) {
		f := newFixture(t)
		same := func(m string) string { return strings.Replace(m, `"d-m2"`, `"d-m1"`, 1) }
		f.wantFailed(t, records(fifoMessage("m1", "g", `{"lead_name":"Ada"}`)))
		f.wantFailed(t, records(same(fifoMessage("m2", "g", `{"lead_name":"Ada"}`))))
		f.wantNames(t, "Ada")
	})
	t.Run("creates two leads from two equal bodies that a FIFO queue delivers", func(t *testing.T) {
		// With ContentBasedDeduplication, the queue computes the deduplication id from
		// the body. After five minutes, the same body is another message.
		f := newFixture(t)
		const body = `{"lead_name":"Bob"}`
		for _, id := range []string{"m3", "m4"} {
			event := records(strings.Replace(fifoMessage(id, "g", body), `"d-`+id+`"`, fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(body))), 1))
			for range 2 { // each redelivered
				f.wantFailed(t, event)
			}
		}
		f.wantNames(t, "Bob", "Bob")
	})
	t.Run("stops a FIFO group, and no other group, at its first failure", func(t *testing.T) {
		f := newFixture(t)
		f.Leads = &failing{f.table, "bad"}
		f.wantFailed(t, records(
			fifoMessage("m1", "a", `{"lead_name":"a1"}`), fifoMessage("m2", "b", `{"lead_name":"b1"}`),
			fifoMessage("m3", "a", `{"lead_name":"bad"}`), fifoMessage("m4", "a", `{"lead_name":"a3"}`), fifoMessage("m5", "b", `{"lead_name":"b2"}`),
		), "m3", "m4")
		f.wantNames(t, "a1", "b1", "b2")
	})
	t.Run("does not stop a FIFO group at a rejected message", func(t *testing.T) {
		f := newFixture(t)
		f.wantFailed(t, records(fifoMessage("m1", "a", `{"lead_name":1}`), fifoMessage("m2", "a", `{"lead_name":"a2"}`)))
		f.wantNames(t, "a2")
		f.wantDLQ(t, `parameter_invalid {"lead_name":1}`)
	})
	t.Run("does not stop a standard queue at a failure", func(t *testing.T) {
		f := newFixture(t)
		f.Leads = &failing{f.table, "bad"}
		group := `"attributes":{"MessageGroupId":"a",` // a fair queue has groups too
		f.wantFailed(t, records(strings.Replace(sqsMessage("m1", `{"lead_name":"bad"}`), `"attributes":{`, group, 1),
			strings.Replace(sqsMessage("m2", `{"lead_name":"ok"}`), `"attributes":{`, group, 1)), "m1")
		f.wantNames(t, "ok")
	})
	t.Run("fails only the record that causes a panic", func(t *testing.T) {
		f := newFixture(t)
		f.Leads = &failing{f.table, "panic"}
		f.wantFailed(t, records(sqsMessage("m1", `{"lead_name":"a"}`), sqsMessage("m2", `{"lead_name":"panic"}`), sqsMessage("m3", `{"lead_name":"b"}`)), "m2")
		f.wantNames(t, "a", "b")
		f.wantDLQ(t)
	})
	t.Run("rejects a body that is too large for HTTP", func(t *testing.T) {
		f := newFixture(t)
		body := `{"lead_name":"Ada"` + strings.Repeat(" ", 128<<10) + `}`
		f.wantFailed(t, records(sqsMessage("m1", body)))
		f.wantDLQ(t, "json_invalid "+body)
	})
}

// failing is a store that fails for one lead_name.
type failing struct {
	*dynamo.Table
	name string
}

func (s *failing) CreateMany(ctx context.Context, t lead.Tenant, all []lead.CreateRequest) []lead.CreateResult {
	var results []lead.CreateResult
	for _, c := range all {
		switch {
		case c.Values[0] == s.name && s.name == "panic":
			panic("a bug")
		case c.Values[0] == s.name:
			results = append(results, lead.CreateResult{Err: &lead.UnavailableError{Err: errors.New("busy")}})
		default:
			results = append(results, s.Table.CreateMany(ctx, t, []lead.CreateRequest{c})...)
		}
	}
	return results
}

func TestCall(t *testing.T) {
	t.Run("returns one result for each lead, in order", func(t *testing.T) {
		f := newFixture(t)
		event := `{"leads":[{"lead_name":"Ada"},{"email_id":"x","phon":1},"text",{"lead_name":"Bob"}],"idempotency_key":"k"}`
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r1"})
		for _, replayed := range []bool{false, true} {
			answer, failure := f.invokeIn(t, ctx, event)
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
		f.wantNames(t, "Ada", "Bob")
	})
	t.Run("fails only the lead that has a name twice", func(t *testing.T) {
		f := newFixture(t)
		answer, failure := f.invoke(t, `{"leads":[{"lead_name":"Ada"},{"city":"a","lead_name":"x","city":"b"},{"lead_name":{"a":1,"a":2}},{"lead_name":"Bob"}]}`)
		if n := strings.Count(answer, `{"error":`); failure != "" || n != 2 || strings.Count(answer, `"code":"json_invalid"`) != 2 {
			t.Errorf("%d errors, want 2: %s %s", n, answer, failure)
		}
		f.wantNames(t, "Ada", "Bob")
	})
	t.Run("returns no result for no lead", func(t *testing.T) {
		f := newFixture(t)
		if answer, failure := f.invoke(t, `{"leads":[]}`); answer != `{"results":[]}` {
			t.Error(answer, failure)
		}
	})
}

// TestAnyDelivery delivers records of all kinds several times, in any order and in
// any batches, while the database and the queues fail. At the end, each record
// must be one lead or one message in the DLQ.
func TestAnyDelivery(t *testing.T) {
	client, meter := dynamotest.Start(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		meter.Fault = nil
		f := newFixtureOn(dynamo.New(client, dynamotest.TableName), meter, fmt.Sprint("a", n))
		seed := rapid.Uint64().Draw(rt, "seed")
		random := rand.New(rand.NewPCG(seed, 1))

		var want, rejected []string // names of leads, bodies of rejected records
		var standard []string       // SQS messages, which can be in one batch
		var events []string         // events with one record each
		body := func(i int) string {
			if random.IntN(4) == 0 {
				b := fmt.Sprintf(`{"lead_name":%d}`, i)
				rejected = append(rejected, b)
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
				f.files["b/"+id+".ndjson"] = object{etag: "e", text: b + "\n"}
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
			case 1: // the write happens, and its answer is lost
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
				return errors.New("SQS is not available")
			}
			return nil
		}
		f.queue.fault, f.dlq.fault = queueFault, queueFault

		deliver := func(messages []string) {
			if len(messages) > 0 {
				f.invoke(rt, records(messages...))
			}
		}
		fromQueue := func() (all []string) {
			for i, m := range f.queue.sent {
				all = append(all, delivered(fmt.Sprint("q", i), m))
			}
			return all
		}
		for range rapid.IntRange(0, 6).Draw(rt, "rounds") {
			messages := append(slices.Clone(standard), fromQueue()...)
			random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			deliver(messages[:random.IntN(len(messages)+1)])
			if len(events) > 0 {
				f.invoke(rt, events[random.IntN(len(events))])
			}
		}
		// Deliver everything once more without faults.
		faulty = false
		deliver(standard)
		for _, e := range events {
			f.invoke(rt, e)
		}
		deliver(fromQueue())

		f.wantNames(rt, want...)
		bodies := map[string]bool{}
		for _, m := range f.dlq.sent {
			bodies[m.Body] = true
		}
		slices.Sort(rejected)
		if got := slices.Sorted(maps.Keys(bodies)); !slices.Equal(got, rejected) || len(f.dlq.sent) != len(rejected) {
			rt.Errorf("the DLQ has %q (%d messages), want %q", got, len(f.dlq.sent), rejected)
		}
	})
}
