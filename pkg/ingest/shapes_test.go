package ingest_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestShapes handles events as AWS services, and services between them, write
// them. Other events are refused with a message that says what to do.
func TestShapes(t *testing.T) {
	const body = `{"lead_name":"Ada"}`
	wrapped := fmt.Sprintf(`{"Type":"Notification","MessageId":"n1","TopicArn":"arn:aws:sns:eu-west-1:123456789012:t","Message":%s,"SignatureVersion":"1"}`, quoted(body))
	restored := strings.Replace(s3Record("b", "a.csv", "e"), "ObjectCreated:Put", "s3:ObjectRestore:Completed", 1)
	created := `{"version":"0","bucket":{"name":"b"},"object":{"key":"a.csv","size":1,"etag":"e","version-id":"v"},"reason":"PutObject"}`
	fromService := func(source, kind, detail string) string {
		return strings.NewReplacer(`"shop"`, `"`+source+`"`, `Form filled`, kind).Replace(busEvent("e1", detail))
	}

	for form, event := range map[string]string{
		"a pipe's batch of a queue":             `[` + sqsMessage("m1", body) + `]`,
		"a notification with raw delivery":      records(sqsMessage("m1", body, `"md5OfMessageAttributes":"m"`)),
		"a message with binary attributes":      records(strings.Replace(sqsMessage("m1", body), `"messageAttributes":{}`, `"messageAttributes":{"b":{"binaryValue":"AAE=","stringListValues":[],"binaryListValues":[],"dataType":"Binary"}}`, 1)),
		"a message without system attributes":   `{"Records":[{"messageId":"m1","body":` + quoted(body) + `,"eventSource":"aws:sqs"}]}`,
		"an event with only the needed members": `{"id":"e1","detail-type":"lead.create","detail":` + body + `}`,
		"a replayed event":                      strings.Replace(busEvent("e1", body), `{"version"`, `{"replay-name":"r","version"`, 1),
	} {
		t.Run("accepts "+form, func(t *testing.T) {
			f := newFixture(t)
			for range 2 {
				if answer, failure := f.invoke(t, event); failure != "" || strings.Contains(answer, "itemIdentifier") {
					t.Fatal(answer, failure)
				}
			}
			f.wantNames(t, "Ada")
			f.wantDLQ(t)
		})
	}
	for form, c := range map[string]struct{ event, says string }{
		"an event of S3 on the bus":                  {fromService("aws.s3", "Object Created", created), `"Object Created" of "aws.s3"`},
		"an event of a deleted file on the bus":      {fromService("aws.s3", "Object Deleted", created), `"Object Deleted" of "aws.s3"`},
		"a scheduled event of a rule":                {fromService("aws.events", "Scheduled Event", `{}`), "an event of an AWS service"},
		"a scheduled event of EventBridge Scheduler": {fromService("aws.scheduler", "Scheduled Event", `"{}"`), "an event of an AWS service"},
		"a deleted file":                             {records(strings.Replace(s3Record("b", "a.csv", "e"), "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", 1)), `"ObjectRemoved:DeleteMarkerCreated" is not ObjectCreated`},
		"a restored file":                            {records(restored), `"s3:ObjectRestore:Completed" is not ObjectCreated`},
		"the test event of a bucket":                 {`{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-01T00:00:00.000Z","Bucket":"b","RequestId":"r","HostId":"h"}`, "neither Records nor leads"},
		"an S3 batch operation":                      {`{"invocationSchemaVersion":"2.0","invocationId":"i","job":{"id":"j"},"tasks":[]}`, "neither Records nor leads"},
		"a file whose key is not UTF-8":              {records(s3Record("b", "%ff.csv", "e")), "a key is not encoded"},
		"a Kinesis stream":                           {records(`{"eventSource":"aws:kinesis","kinesis":{"data":"e30="}}`), `"aws:kinesis"`},
		"a Kafka batch":                              {`{"eventSource":"aws:kafka","records":{"t-0":[{"value":"e30="}]}}`, "neither Records nor leads"},
		"a batch with a window":                      {`{"Records":[` + sqsMessage("m", "{}") + `],"window":{}}`, "other members beside Records"},
		"a pipe's batch of leads":                    {`[` + body + `]`, `the source ""`},
		"an empty list":                              {`[]`, "no list of records"},
		"a message without text":                     {records(strings.Replace(sqsMessage("m1", "x"), `"body":"x"`, `"body":{}`, 1)), "its body is not a string"},
		"a notification without an id":               {records(snsRecord("", "{}")), "no MessageId"},
	} {
		t.Run("refuses "+form, func(t *testing.T) {
			f := newFixture(t)
			if answer, failure := f.invoke(t, c.event); !strings.HasPrefix(failure, "json_invalid: ") || !strings.Contains(failure, c.says) || !strings.Contains(failure, "Send one of: ") {
				t.Errorf("answer %q, error %q, want an error with %q", answer, failure, c.says)
			}
			f.wantNames(t)
			f.wantDLQ(t)
		})
	}
	for form, c := range map[string]struct{ event, says string }{
		"an SNS notification in a queue":          {records(sqsMessage("m1", wrapped)), "raw message delivery"},
		"an EventBridge event in a queue":         {records(sqsMessage("m1", busEvent("e1", body))), "$.detail"},
		"an EventBridge event in SNS":             {records(snsRecord("n1", busEvent("e1", body))), "$.detail"},
		"an S3 notification in a queue":           {records(sqsMessage("m1", records(s3Record("b", "a.csv", "e")))), "bucket call the function"},
		"an S3 notification in SNS":               {records(snsRecord("n1", records(s3Record("b", "a.csv", "e")))), "bucket call the function"},
		"the test event of a bucket":              {records(sqsMessage("m1", `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`)), "bucket call the function"},
		"an event that Lambda could not deliver":  {records(sqsMessage("m1", `{"version":"1.0","requestContext":{"condition":"RetriesExhausted"},"requestPayload":{}}`)), "requestPayload"},
		"the text of a schedule in a queue":       {records(sqsMessage("m1", "tick")), "one JSON object"},
		"a gzip file":                             {records(s3Record("b", "a.csv.gz", "e")), "The file is an archive (x-gzip): unpack it first."},
		"a gzip file with the name of a CSV file": {records(s3Record("b", "gzip.csv", "e")), "The file is an archive (x-gzip): unpack it first."},
		"an empty file":                           {records(s3Record("b", "empty.csv", "e")), "The file is empty"},
	} {
		t.Run("rejects with the reason "+form, func(t *testing.T) {
			f := newFixture(t)
			f.files["b/gzip.csv"] = object{etag: "e", text: "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xcb"}
			f.files["b/a.csv.gz"] = f.files["b/gzip.csv"]
			f.files["b/empty.csv"] = object{etag: "e", text: ""}
			if answer, failure := f.invoke(t, c.event); failure != "" || strings.Contains(answer, "itemIdentifier") {
				t.Fatal(answer, failure)
			}
			f.wantNames(t)
			if len(f.dlq.sent) != 1 || !strings.Contains(f.dlq.sent[0].Attributes["reason"], c.says) {
				t.Errorf("the DLQ has %+v, want a reason with %q", f.dlq.sent, c.says)
			}
		})
	}
	t.Run("ignores a folder and a file without rows", func(t *testing.T) {
		f := newFixture(t)
		if _, failure := f.invoke(t, records(s3Record("b", "in/", "e"), strings.TrimSuffix(strings.TrimPrefix(f.put("none.ndjson", "e", ""), `{"Records":[`), `]}`))); failure != "" {
			t.Fatal(failure)
		}
		f.wantDLQ(t)
		if len(f.queue.sent) != 0 {
			t.Errorf("the queue has %+v", f.queue.sent)
		}
	})
	for form, c := range map[string]struct{ written, key string }{
		"a space and a plus":         {"in/a+b%2Bc.csv", "in/a b+c.csv"},
		"characters outside ASCII":   {"%E2%9C%93%C3%A4.csv", "✓ä.csv"},
		"a percent sign":             {"a%252Fb.csv", "a%2Fb.csv"},
		"quotes and a question mark": {"a%22%27%3F.csv", `a"'?.csv`},
	} {
		t.Run("finds a file whose key has "+form, func(t *testing.T) {
			f := newFixture(t)
			f.files["b/"+c.key] = object{etag: "e", text: "lead_name\nAda\n"}
			if _, failure := f.invoke(t, records(s3Record("b", c.written, "e"))); failure != "" {
				t.Fatal(failure)
			}
			f.deliverQueue(t)
			f.wantNames(t, "Ada")
		})
	}
	t.Run("distinguishes versions of a file, also with suspended versioning", func(t *testing.T) {
		f := newFixture(t)
		for i, c := range []struct{ version, etag string }{{`"v1"`, "e1"}, {`"v2"`, "e1"}, {`"v1"`, "e1"}, {"null", "e3"}, {"null", "e3"}, {`"null"`, "e4"}, {`"null"`, "e5"}} {
			name := fmt.Sprint("n", c.version, c.etag)
			f.put("a.ndjson", c.etag, `{"lead_name":`+quoted(name)+"}\n")
			event := strings.Replace(records(s3Record("b", "a.ndjson", c.etag)), `"eTag"`, `"versionId":`+c.version+`,"eTag"`, 1)
			if _, failure := f.invoke(t, event); failure != "" {
				t.Fatal(i, failure)
			}
			f.deliverQueue(t)
		}
		f.wantNames(t, `n"null"e4`, `n"null"e5`, `n"v1"e1`, `n"v2"e1`, "nnulle3")
		f.wantDLQ(t)
	})
	t.Run("creates the same leads when all events are repeated in any order", func(t *testing.T) {
		f := newFixture(t)
		f.put("a.csv", "e", "lead_name\nfile\n")
		events := []string{
			`[` + sqsMessage("m1", `{"lead_name":"pipe"}`) + `,` + sqsMessage("m2", wrapped) + `]`,
			records(sqsMessage("m1", `{"lead_name":"pipe"}`), sqsMessage("m3", `{"lead_name":"queue"}`)),
			records(snsRecord("n1", `{"lead_name":"topic"}`)), busEvent("e1", `{"lead_name":"bus"}`),
			records(s3Record("b", "a.csv", "e")), fromService("aws.events", "Scheduled Event", `{}`),
			records(fifoMessage("f1", "g", `{"lead_name":"fifo"}`)),
		}
		random := rand.New(rand.NewPCG(3, 3))
		for range 3 {
			random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			for _, e := range events {
				f.invoke(t, e)
			}
			f.deliverQueue(t)
		}
		f.wantNames(t, "bus", "fifo", "file", "pipe", "queue", "topic")
		f.wantDLQ(t, "json_invalid "+wrapped)
	})
}
