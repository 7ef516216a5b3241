package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/pkg/queue"
	"overplane.dev/leads/test/dynamotest"
)

var tenant = lead.Tenant{Account: "acme", Mode: lead.Live}

// fixture is a table with a stream.
type fixture struct {
	*dynamo.Table
	client  *dynamodb.Client
	streams *dynamodbstreams.Client
	arn     string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	client, _ := dynamotest.Start(t)
	out, err := client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName:           aws.String(dynamotest.TableName),
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := client.Options()
	return &fixture{dynamo.New(client, dynamotest.TableName), client, dynamodbstreams.New(dynamodbstreams.Options{
		Region: o.Region, BaseEndpoint: o.BaseEndpoint, Credentials: o.Credentials,
	}), aws.ToString(out.TableDescription.LatestStreamArn)}
}

// stream returns all records of the stream as Lambda delivers them.
func (f *fixture) stream(t *testing.T) (all []string) {
	t.Helper()
	out, err := f.streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &f.arn})
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range out.StreamDescription.Shards {
		it, err := f.streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &f.arn, ShardId: shard.ShardId, ShardIteratorType: streams.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := f.streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it.ShardIterator})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			all = append(all, f.delivered(t, r))
		}
	}
	return all
}

func (f *fixture) delivered(t *testing.T, r streams.Record) string {
	t.Helper()
	image := func(name string, in map[string]streams.AttributeValue) string {
		if len(in) == 0 {
			return ""
		}
		m, err := attributevalue.FromDynamoDBStreamsMap(in)
		if err != nil {
			t.Fatal(err)
		}
		text, err := attributevalue.MarshalMapJSON(m)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`%q:%s,`, name, text)
	}
	d := r.Dynamodb
	return fmt.Sprintf(`{"eventID":%q,"eventName":%q,"eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":%d,%s%s%s"SequenceNumber":%q,"SizeBytes":%d,"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":%q}`,
		aws.ToString(r.EventID), r.EventName, d.ApproximateCreationDateTime.Unix(), image("Keys", d.Keys), image("NewImage", d.NewImage), image("OldImage", d.OldImage), aws.ToString(d.SequenceNumber), aws.ToInt64(d.SizeBytes), f.arn)
}

// withView returns a record with the images that a stream of another view type
// has, and with the name of this type if named.
func withView(t *testing.T, record, view string, named bool) string {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		t.Fatal(err)
	}
	change := r["dynamodb"].(map[string]any)
	if named {
		change["StreamViewType"] = view
	}
	for _, image := range []string{"OLD_IMAGE", "NEW_IMAGE"} {
		if image != view {
			delete(change, map[string]string{"OLD_IMAGE": "OldImage", "NEW_IMAGE": "NewImage"}[image])
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sequence(t *testing.T, record string) string {
	t.Helper()
	var r struct {
		Dynamodb struct{ SequenceNumber string }
	}
	if err := json.Unmarshal([]byte(record), &r); err != nil || r.Dynamodb.SequenceNumber == "" {
		t.Fatalf("%v: %s", err, record)
	}
	return r.Dynamodb.SequenceNumber
}

// bus is an EventBridge bus in memory.
type bus struct {
	requests [][]publish.Event
	refuse   func(publish.Event) bool
	fault    func(n int) error
	dlq      dlq
}

// dlq is a dead-letter queue in memory.
type dlq struct {
	messages []queue.Message
	fault    error
}

func (q *dlq) Send(_ context.Context, messages []queue.Message) error {
	if q.fault == nil {
		q.messages = append(q.messages, messages...)
	}
	return q.fault
}

func (b *bus) Put(_ context.Context, events []publish.Event) ([]bool, error) {
	b.requests = append(b.requests, events)
	if b.fault != nil {
		if err := b.fault(len(b.requests)); err != nil {
			return nil, err
		}
	}
	refused := make([]bool, len(events))
	for i, e := range events {
		refused[i] = b.refuse != nil && b.refuse(e)
	}
	return refused, nil
}

// accepted returns "type event_id" of each event that was accepted, in order.
func (b *bus) accepted() (all []string) {
	for i, events := range b.requests {
		if b.fault != nil && b.fault(i+1) != nil {
			continue
		}
		for _, e := range events {
			if b.refuse == nil || !b.refuse(e) {
				all = append(all, e.Type+" "+eventID(e))
			}
		}
	}
	return all
}

func eventID(e publish.Event) string {
	var d struct {
		EventID string `json:"event_id"`
	}
	json.Unmarshal(e.Detail, &d)
	return d.EventID
}

// wantFailed fails unless the function reports this sequence number as failed, or
// none if it is "".
func wantFailed(t *testing.T, b *bus, records []string, want string) {
	t.Helper()
	p := publish.Publisher{Bus: b, DeadLetters: &b.dlq, Log: slog.New(slog.DiscardHandler)}
	answer, err := p.Invoke(t.Context(), []byte(`{"Records":[`+strings.Join(records, ",")+`]}`))
	items := ""
	if want != "" {
		items = `{"itemIdentifier":"` + want + `"}`
	}
	if wanted := `{"batchItemFailures":[` + items + `]}`; err != nil || string(answer) != wanted {
		t.Errorf("answer %s, error %v, want %s", answer, err, wanted)
	}
}

// wantRejected fails unless the dead-letter queue has this record only, with the
// reason.
func wantRejected(t *testing.T, b *bus, record, reason string) {
	t.Helper()
	if len(b.dlq.messages) != 1 {
		t.Fatalf("%d records in the dead-letter queue, want 1", len(b.dlq.messages))
	}
	m := b.dlq.messages[0]
	if m.Body != strings.ToValidUTF8(record, "\ufffd") || m.ID == "" || m.Attributes["source"] != "stream" || m.Attributes["code"] != "record_unreadable" ||
		!strings.Contains(m.Attributes["reason"], reason) || !strings.Contains(m.Attributes["origin"], sequence(t, record)) {
		t.Errorf("dead letter %.300s with %v, want the reason %q", m.Body, m.Attributes, reason)
	}
}

func (f *fixture) create(t *testing.T, body string) lead.ID {
	t.Helper()
	changes, err := lead.ParseChanges([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	values := lead.Defaults()
	values.Apply(changes)
	made, _, err := f.Create(t.Context(), tenant, values, lead.IdempotencyKey{Source: "test", Key: body, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func (f *fixture) update(t *testing.T, id lead.ID, body string) {
	t.Helper()
	changes, err := lead.ParseChanges([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Update(t.Context(), tenant, id, changes, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) delete(t *testing.T, id lead.ID) {
	t.Helper()
	if err := f.Delete(t.Context(), tenant, id, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	f := newFixture(t)
	ada := f.create(t, `{"lead_name":"Ada \"\u2028é","annual_revenue":12.50,"city":"Paris"}`)
	f.update(t, ada, `{"status":"Open","annual_revenue":null,"disabled":true,"city":"Paris"}`)
	f.update(t, ada, `{"status":"Open"}`)
	bob := f.create(t, `{}`)
	f.delete(t, ada)
	records := f.stream(t)

	b := &bus{}
	wantFailed(t, b, records, "")
	var all []publish.Event
	for _, events := range b.requests {
		all = append(all, events...)
	}

	t.Run("are about leads only, in order", func(t *testing.T) {
		want := []string{
			fmt.Sprint("lead.created ", ada, ".1"), fmt.Sprint("lead.updated ", ada, ".2"), fmt.Sprint("lead.updated ", ada, ".3"),
			fmt.Sprint("lead.created ", bob, ".1"), fmt.Sprint("lead.deleted ", ada, ".4"),
		}
		if got := b.accepted(); !slices.Equal(got, want) {
			t.Fatalf("events %q, want %q", got, want)
		}
		if len(records) <= len(all) {
			t.Errorf("the stream has %d records, too few: it must also have records of counters and keys", len(records))
		}
	})
	t.Run("have the old values of changed fields", func(t *testing.T) {
		var previous []string
		for _, e := range all {
			var d struct{ Previous json.RawMessage }
			if err := json.Unmarshal(e.Detail, &d); err != nil {
				t.Fatal(err)
			}
			previous = append(previous, string(d.Previous))
		}
		if want := []string{"", `{"status":"Lead","annual_revenue":12.5,"disabled":false}`, `{}`, "", ""}; !slices.Equal(previous, want) {
			t.Errorf("previous %q, want %q", previous, want)
		}
	})
	t.Run("have the lead as the API returns it", func(t *testing.T) {
		left, err := f.Retrieve(t.Context(), tenant, bob)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(all[3].Detail, append([]byte(`"account":"acme","mode":"live","id":"`+string(bob)+`","version":1,"time":"`), all[3].Time.Format(time.RFC3339)...)) ||
			!bytes.Contains(all[3].Detail, append([]byte(`"lead":`), left.AppendJSON(nil)...)) {
			t.Errorf("detail %s", all[3].Detail)
		}
		if !bytes.Contains(all[4].Detail, []byte(`"status":"Open"`)) {
			t.Errorf("a deleted lead differs from its last version: %s", all[4].Detail)
		}
	})
	t.Run("match the schema", func(t *testing.T) {
		schema := compile(t)
		for _, e := range all {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Detail))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v", e.Type, err)
			}
			detail := v.(map[string]any)
			if _, ok := detail["previous"]; ok != (e.Type == "lead.updated") {
				t.Errorf("%s has the member previous: %v", e.Type, ok)
			}
			for name := range detail { // and the schema checks each member
				if name == "previous" {
					continue
				}
				kept := detail[name]
				detail[name] = []any{}
				if schema.Validate(v) == nil {
					t.Errorf("the schema allows any value for %s", name)
				}
				delete(detail, name)
				if schema.Validate(v) == nil {
					t.Errorf("the schema does not require %s", name)
				}
				detail[name] = kept
			}
		}
	})
	t.Run("are the same when they are sent again", func(t *testing.T) {
		again := &bus{}
		wantFailed(t, again, records, "")
		for i, events := range again.requests {
			for j, e := range events {
				if !bytes.Equal(e.Detail, b.requests[i][j].Detail) {
					t.Errorf("%s is now %s", b.requests[i][j].Detail, e.Detail)
				}
			}
		}
	})
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("event.schema.json")
}

func TestSchemaHasAllFields(t *testing.T) {
	text, err := os.ReadFile("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Previous struct{ Properties map[string]any }
		}
		Defs struct {
			Lead struct {
				Required   []string
				Properties map[string]struct{ Type any }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	members := []string{"id", "created_at", "updated_at"}
	for _, f := range lead.Fields {
		members = append(members, f.Name)
		want := any(map[lead.Kind]string{lead.Boolean: "boolean", lead.Decimal: "number"}[f.Kind])
		if want == "" {
			want = "string"
		}
		if f.Default == nil {
			want = []any{want, "null"}
		}
		if got := schema.Defs.Lead.Properties[f.Name].Type; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the type of %s in the schema is %v, want %v", f.Name, got, want)
		}
		if schema.Properties.Previous.Properties[f.Name] == nil {
			t.Errorf("previous lacks %s", f.Name)
		}
	}
	if !slices.Equal(schema.Defs.Lead.Required, members) || len(schema.Defs.Lead.Properties) != len(members) {
		t.Errorf("the schema's lead has %v, want %v", schema.Defs.Lead.Required, members)
	}
}

func TestFailures(t *testing.T) {
	f := newFixture(t)
	var ids []lead.ID
	for i := range 12 {
		ids = append(ids, f.create(t, fmt.Sprintf(`{"lead_name":"n%d"}`, i)))
	}
	f.update(t, ids[0], `{"city":"a"}`)
	f.update(t, ids[1], `{"city":"a"}`)
	f.update(t, ids[0], `{"city":"b"}`)
	var records []string // of leads only, as the filter of the template selects them
	for _, r := range f.stream(t) {
		if strings.Contains(r, `"sk":{"S":"lead"}`) {
			records = append(records, r)
		}
	}
	if len(records) != 15 {
		t.Fatalf("%d records, want 15", len(records))
	}

	t.Run("a request has at most ten events, and one of each lead", func(t *testing.T) {
		b := &bus{}
		wantFailed(t, b, records, "")
		var sizes []int
		for _, events := range b.requests {
			sizes = append(sizes, len(events))
		}
		if want := []int{10, 4, 1}; !slices.Equal(sizes, want) {
			t.Errorf("requests of %v events, want %v", sizes, want)
		}
	})
	t.Run("the first record of a failed request is reported", func(t *testing.T) {
		b := &bus{fault: func(n int) error {
			if n == 2 {
				return errors.New("EventBridge is not available")
			}
			return nil
		}}
		wantFailed(t, b, records, sequence(t, records[10]))
		if len(b.requests) != 2 {
			t.Errorf("%d requests, want none after the failed one", len(b.requests))
		}
	})
	t.Run("only the refused event of a request is sent again", func(t *testing.T) {
		refused := 0
		b := &bus{refuse: func(e publish.Event) bool {
			if eventID(e) == string(ids[3])+".1" {
				refused++
				return refused == 1
			}
			return false
		}}
		wantFailed(t, b, records[:10], "")
		if len(b.requests) != 2 || len(b.requests[1]) != 1 {
			t.Errorf("requests %v", b.requests)
		}
	})
	t.Run("no later event of a lead is sent after a refused event", func(t *testing.T) {
		b := &bus{refuse: func(e publish.Event) bool { return eventID(e) == string(ids[0])+".2" }}
		wantFailed(t, b, records, sequence(t, records[12]))
		for _, e := range b.accepted() {
			if strings.HasSuffix(e, string(ids[0])+".3") {
				t.Error("the third version was sent before the second")
			}
		}
	})
	unreadable := func(record, attribute string) string {
		return strings.Replace(record, `"NewImage":{`, `"NewImage":{`+attribute+`,`, 1)
	}
	for reason, attribute := range map[string]string{
		"string":              `"xx":{"S":7}`,
		"not valid Unicode":   `"xx":{"S":"\ud800"}`,
		"is not valid":        "\"xx\":{\"S\":\"\xff\"}",
		"no lead can have":    `"ar":{"N":"many"}`,
		"EventBridge accepts": `"ti":{"S":"` + strings.Repeat("a", 256<<10) + `"}`,
		"panic":               `"xx":{"S":"a"}`,
	} {
		t.Run("a record that can never be published goes to the dead-letter queue: "+reason, func(t *testing.T) {
			broken := slices.Clone(records[:5])
			broken[3] = unreadable(broken[3], attribute)
			if reason == "panic" {
				broken[3] = strings.ReplaceAll(broken[3], string(ids[3]), "no id")
			}
			b := &bus{}
			wantFailed(t, b, broken, "")
			if got := len(b.accepted()); got != 4 {
				t.Errorf("%d events were sent, want 4", got)
			}
			wantRejected(t, b, broken[3], reason)
		})
	}
	t.Run("an unreadable record is reported if the dead-letter queue fails, and the records before it are published", func(t *testing.T) {
		broken := slices.Clone(records[:5])
		broken[3] = unreadable(broken[3], `"xx":{"S":7}`)
		b := &bus{dlq: dlq{fault: errors.New("SQS is not available")}}
		wantFailed(t, b, broken, sequence(t, broken[3]))
		if got := len(b.accepted()); got != 3 {
			t.Errorf("%d events were sent, want 3", got)
		}
	})
	t.Run("after redelivery from any record, each change was sent in order", func(t *testing.T) {
		var all []string
		for from := 0; from < len(records); from += 4 {
			b := &bus{}
			wantFailed(t, b, records[from:], "")
			all = append(all, b.accepted()...)
		}
		last := map[string]int{}
		for _, e := range all {
			id, version, _ := strings.Cut(strings.Fields(e)[1], ".")
			n := int(version[0] - '0')
			if n > last[id]+1 {
				t.Errorf("version %d of %s came after %d", n, id, last[id])
			}
			last[id] = max(last[id], n)
		}
		if len(last) != 12 || last[string(ids[0])] != 3 || last[string(ids[1])] != 2 {
			t.Errorf("last versions %v", last)
		}
	})
	t.Run("a record that is larger than an SQS message is rejected without its images", func(t *testing.T) {
		large := unreadable(records[0], `"xx":{"S":"`+strings.Repeat("a", 1<<20)+`"},"yy":7`)
		b := &bus{}
		wantFailed(t, b, []string{large}, "")
		if len(b.dlq.messages) != 1 || len(b.dlq.messages[0].Body) > 1000 || !strings.Contains(b.dlq.messages[0].Body, string(ids[0])) {
			t.Errorf("dead letters %.1500s", fmt.Sprint(b.dlq.messages))
		}
	})
	for _, view := range []string{"KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"} {
		t.Run("a stream of another view type is an error: "+view, func(t *testing.T) {
			updated := records[12]
			for _, named := range []bool{true, false} { // by its name, and by the images alone
				b := &bus{}
				p := publish.Publisher{Bus: b, DeadLetters: &b.dlq, Log: slog.New(slog.DiscardHandler)}
				answer, err := p.Invoke(t.Context(), []byte(`{"Records":[`+withView(t, updated, view, named)+`]}`))
				if err == nil || !strings.Contains(err.Error(), "NEW_AND_OLD_IMAGES") || len(b.requests) > 0 || len(b.dlq.messages) > 0 {
					t.Errorf("answer %s, error %v, %d requests", answer, err, len(b.requests))
				}
			}
		})
	}
	t.Run("a record whose event name does not fit its images is an error", func(t *testing.T) {
		for _, name := range []string{"INSERT", "REMOVE", "insert", ""} {
			b := &bus{}
			p := publish.Publisher{Bus: b, DeadLetters: &b.dlq, Log: slog.New(slog.DiscardHandler)}
			wrong := strings.Replace(records[12], `"eventName":"MODIFY"`, `"eventName":"`+name+`"`, 1)
			if answer, err := p.Invoke(t.Context(), []byte(`{"Records":[`+records[0]+`,`+wrong+`]}`)); err == nil || len(b.requests) > 0 {
				t.Errorf("%q: answer %s, error %v, %d requests", name, answer, err, len(b.requests))
			}
		}
	})
	t.Run("an event that is not a stream is an error", func(t *testing.T) {
		p := publish.Publisher{Bus: &bus{}, Log: slog.New(slog.DiscardHandler)}
		for _, event := range []string{`{}`, `{"Records":[]}`, `{"Records":[{"eventSource":"aws:sqs","messageId":"m"}]}`, `[`, `{"Records":[` + records[0] + `],"Records":[` + records[1] + `]}`} {
			if _, err := p.Invoke(t.Context(), []byte(event)); err == nil {
				t.Errorf("no error for %s", event)
			}
		}
	})
}

// TestLargestEvent checks that EventBridge accepts the largest possible event.
func TestLargestEvent(t *testing.T) {
	f := newFixture(t)
	body := func(c string) string {
		var members []string
		for _, f := range lead.Fields {
			if f.Kind == lead.Text {
				members = append(members, fmt.Sprintf("%q:%q", f.Name, strings.Repeat(c, f.Max)))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	f.update(t, f.create(t, body("\U0001F600")), body("\U0001F601"))
	b := &bus{}
	wantFailed(t, b, f.stream(t), "")
	events := b.requests[len(b.requests)-1]
	if size := len(events[0].Detail); events[0].Type != "lead.updated" || size < 70_000 || size > 250<<10 {
		t.Errorf("%s of %d bytes", events[0].Type, size)
	}
}

// TestSample handles the event of the folder events, which is a sample for
// sam local invoke PublishChanges.
func TestSample(t *testing.T) {
	event, err := os.ReadFile("../../events/stream.json")
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{}
	p := publish.Publisher{Bus: b, Log: slog.New(slog.DiscardHandler)}
	if answer, err := p.Invoke(t.Context(), event); err != nil || string(answer) != `{"batchItemFailures":[]}` {
		t.Fatalf("answer %s, error %v", answer, err)
	}
	const id = "lead_01kf0a7b3m5v8cq2w4x6y8z0ab"
	if got, want := b.accepted(), []string{"lead.created " + id + ".1", "lead.updated " + id + ".2", "lead.deleted " + id + ".3"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	schema := compile(t)
	for _, events := range b.requests {
		for _, e := range events {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Detail))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v", e.Type, err)
			}
		}
	}
}

// TestStreamFilter checks the filter of the stream in template.yaml: it selects
// exactly the records that have an event, so that counters, keys and idempotency
// records cause no invocation.
func TestStreamFilter(t *testing.T) {
	var pattern any
	filters := readTemplate(t).Resources["PublishChangesStream"].Properties.FilterCriteria.Filters
	if len(filters) != 1 || json.Unmarshal([]byte(filters[0].Pattern), &pattern) != nil {
		t.Fatalf("filters %v, want one", filters)
	}

	f := newFixture(t)
	if err := f.CreateKey(t.Context(), apikey.Key{ID: "0123456789ab", Tenant: tenant, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	id := f.create(t, `{"lead_name":"Ada"}`)
	f.update(t, id, `{"city":"Paris"}`)
	f.delete(t, id)
	count := 0
	for _, r := range f.stream(t) {
		var record any
		if err := json.Unmarshal([]byte(r), &record); err != nil {
			t.Fatal(err)
		}
		b := &bus{}
		wantFailed(t, b, []string{r}, "")
		if selected := matches(pattern, record); selected != (len(b.requests) > 0) {
			t.Errorf("the filter selects the record: %v; it has an event: %v\n%s", selected, !selected, r)
		} else if selected {
			count++
		}
	}
	if count != 3 {
		t.Errorf("the filter selects %d records, want 3", count)
	}
}

// TestIngestRule checks the rule in template.yaml that calls ingest-leads: it
// selects the events that create a lead, and none that publish-changes sends to
// the same bus.
func TestIngestRule(t *testing.T) {
	pattern := readTemplate(t).Resources["IngestLeads"].Properties.Events["Bus"].Properties.Pattern
	event := func(source, kind string) any {
		return map[string]any{"source": source, "detail-type": kind, "detail": map[string]any{}}
	}
	for _, kind := range []string{"lead.create", "lead.upsert"} {
		if !matches(pattern, event("shop", kind)) {
			t.Errorf("the rule does not select %s", kind)
		}
	}

	f := newFixture(t)
	id := f.create(t, `{"lead_name":"Ada"}`)
	f.update(t, id, `{"city":"Paris"}`)
	f.delete(t, id)
	b := &bus{}
	wantFailed(t, b, f.stream(t), "")
	seen := 0
	for _, events := range b.requests {
		for _, e := range events {
			seen++
			if matches(pattern, event(publish.Source, e.Type)) {
				t.Errorf("the rule selects %s", e.Type)
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d events, want 3", seen)
	}
}

// template is the part of template.yaml with filters and rules.
type template struct {
	Resources map[string]struct {
		Properties struct {
			FilterCriteria struct {
				Filters []struct {
					Pattern string `yaml:"Pattern"`
				} `yaml:"Filters"`
			} `yaml:"FilterCriteria"`
			Events map[string]struct {
				Properties struct {
					Pattern map[string]any `yaml:"Pattern"`
				} `yaml:"Properties"`
			} `yaml:"Events"`
		} `yaml:"Properties"`
	} `yaml:"Resources"`
}

func readTemplate(t *testing.T) (all template) {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// matches reports whether a record matches a pattern. A pattern is an object, or a
// list of values, see
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html.
func matches(pattern, record any) bool {
	if values, ok := pattern.([]any); ok {
		return slices.Contains(values, record)
	}
	object, _ := record.(map[string]any)
	for name, p := range pattern.(map[string]any) {
		if !matches(p, object[name]) {
			return false
		}
	}
	return true
}
