package template_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/audit"
	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/publish"
	"overplane.dev/leads/test/fakeaws"
	"overplane.dev/leads/test/localdbtest"
)

// TestPoliciesOfEventFunctionsAllowExactlyWhatIsUsed sends every kind of event to
// the functions that take events. Their policies in template.yaml must allow what
// each did to the database, queues, files and the bus, what Lambda does for it,
// and nothing else.
func TestPoliciesOfEventFunctionsAllowExactlyWhatIsUsed(t *testing.T) {
	all, allowed := readTemplate(t), allowedPermissions(t)
	for function, use := range map[string]func(*testing.T, *fakeaws.Server) []permission{
		"ingest-leads":    useIngest,
		"publish-changes": usePublish,
		"audit-leads":     useAudit,
	} {
		t.Run(function, func(t *testing.T) {
			services := fakeaws.Start(t)
			for name, value := range environmentOf(all, function) {
				switch name {
				case "LEADS_QUEUE_URL":
					value = services.URL + "/" + value
				case "LEADS_DEAD_LETTERS_URL":
					value = services.URL + "/" + value + ".fifo"
				}
				t.Setenv(name, value)
			}
			used := use(t, services)
			for _, c := range services.Used() {
				used = append(used, permission{action: c.Action, resource: strings.TrimSuffix(c.Resource, ".fifo")})
			}
			compareLists(t, "the policy", allowed[function], append(used, usedByLambda(all, function)...))
		})
	}
}

// environmentOf returns the variables of a function, with the names of the
// resources that they refer to.
func environmentOf(all template, function string) map[string]string {
	variables := map[string]string{}
	for name, r := range all.Resources {
		if kebab(name) != function {
			continue
		}
		for variable, value := range r.Properties.Environment.Variables {
			variables[variable] = resourceOf(&value)
		}
	}
	return variables
}

// useIngest sends new, repeated, contradictory and invalid records, files that
// are read in parts, and files that do not exist.
func useIngest(t *testing.T, services *fakeaws.Server) []permission {
	t.Setenv("LEADS_ACCOUNT", "acme")
	t.Setenv("LEADS_MODE", "live")
	endpoint := localdbtest.Start(t)
	if err := openTable(endpoint, nil).CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &recordedFunction{}
	table := openTable(endpoint, f)
	table.WarmUp(t.Context())
	in, err := ingest.Open(table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := table.AddTenant(t.Context(), in.Tenant); err != nil {
		t.Fatal(err)
	}
	text := "lead_name,city\nAda,\nBob,x,y\n" + strings.Repeat("Cy,Paris\n", 100_000)
	services.Put(fakeaws.Object{Bucket: "ImportBucket", Key: "a.csv", Version: "v1", ETag: "e1", Content: strings.NewReader(text), Size: int64(len(text))})

	const (
		message = `{"Records":[{"messageId":"m1","body":%q,"attributes":{},"messageAttributes":{},"eventSource":"aws:sqs","eventSourceARN":"a"}]}`
		notice  = `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"n1","TopicArn":"a","Message":%q,"MessageAttributes":{}}}]}`
		queued  = `{"Records":[{"messageId":%q,"body":%q,"attributes":{},"messageAttributes":{"leads_content":{"stringValue":%q}},"eventSource":"aws:sqs","eventSourceARN":"a"}]}`
		object  = `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"ImportBucket"},"object":{"key":%q,"versionId":%q,"eTag":"e1"}}}]}`
	)
	invoke := func(format string, args ...any) {
		t.Helper()
		if answer, err := in.Invoke(t.Context(), fmt.Appendf(nil, format, args...)); err != nil || strings.Contains(string(answer), "itemIdentifier") {
			t.Fatalf("answer %s, error %v", answer, err)
		}
	}
	for _, body := range []string{`{"lead_name":"a"}`, `{"lead_name":"a"}`, `{"lead_name":"b"}`, `{"leed_name":"a"}`} {
		invoke(message, body)
		invoke(notice, body)
		invoke(`{"id":"e1","detail-type":"lead.create","detail":%s}`, body)
		invoke(`{"leads":[%s,{"lead_name":"c"}],"idempotency_key":"k"}`, body)
	}
	const upsert = `{"id":"e2","detail-type":"lead.upsert","detail":{"email_id":"ada@example.org","status":%q}}`
	invoke(upsert, "Open")
	invoke(upsert, "Lost")
	other, tenant := openTable(endpoint, nil), lead.Tenant{Account: "acme", Mode: lead.Live}
	page, err := other.List(t.Context(), tenant, lead.ListQuery{Filter: &lead.Filter{Field: lead.FieldNamed("email_id"), Value: "ada@example.org"}, Limit: 1})
	if err != nil || len(page.Leads) != 1 {
		t.Fatalf("%d leads, %v", len(page.Leads), err)
	}
	if err := other.Delete(t.Context(), tenant, page.Leads[0].ID, lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	invoke(upsert, "Open") // the guard names the deleted lead
	services.Put(fakeaws.Object{Bucket: "ImportBucket", Key: "mapping.json", Content: strings.NewReader("{}"), Size: 2})
	invoke(object, "a.csv", "v1")
	invoke(object, "a.csv", "v0")
	invoke(object, "gone.csv", "v1")
	invoke(object, "a.xlsx", "v1")
	sent := services.Messages
	for i, m := range []fakeaws.Message{sent[len(sent)-4], sent[len(sent)-5]} { // the file from there on, and rows
		invoke(queued, fmt.Sprint("q", i), m.Body, m.Attributes["leads_content"])
	}
	return f.used
}

// usePublish publishes changes, of which one is unreadable.
func usePublish(t *testing.T, services *fakeaws.Server) []permission {
	event, err := os.ReadFile(root + "events/stream.json")
	if err != nil {
		t.Fatal(err)
	}
	event = bytes.Replace(event, []byte(`"Ada Lovelace"`), []byte("7"), 1)
	if _, err := publish.Open(slog.New(slog.DiscardHandler)).Invoke(t.Context(), event); err != nil || len(services.Events) == 0 || len(services.Messages) == 0 {
		t.Fatalf("%d events, %d messages, error %v", len(services.Events), len(services.Messages), err)
	}
	return nil
}

// useAudit audits an account in which leads were created for hours, and one index
// row has no lead.
func useAudit(t *testing.T, _ *fakeaws.Server) []permission {
	endpoint, now := localdbtest.Start(t), time.Now()
	open := func() (*dynamo.Table, *recordedFunction) {
		f := &recordedFunction{now: func() time.Time { return now }}
		table := openTable(endpoint, f)
		table.Now = f.now
		return table, f
	}
	table, _ := open()
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := lead.Tenant{Account: "acme", Mode: lead.Live}
	if err := table.CreateKey(t.Context(), apikey.Key{ID: "k1", Tenant: tenant}); err != nil {
		t.Fatal(err)
	}
	for range 24 {
		now = now.Add(10 * time.Minute)
		if _, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
	}
	row := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "acme/live/by/" + string(counter.SeriesOf("status", "Lead"))},
		"sk": &types.AttributeValueMemberS{Value: "2026-01-01T00:00:00.000000000Z000000000000"},
	}
	if _, err := openClient(endpoint, nil).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("leads"), Item: row}); err != nil {
		t.Fatal(err)
	}
	table, f := open()
	auditor := audit.Auditor{Table: table, Log: slog.New(slog.DiscardHandler), Metrics: t.Output(), Namespace: "leads/dev"}
	if err := auditor.Run(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return f.used
}

// usedByLambda returns the permissions that Lambda uses with the role of a
// function. It reads the queue or the stream of an event source mapping, see
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html and
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html,
// and sends failed events to their destination.
func usedByLambda(all template, function string) (used []permission) {
	use := func(resource string, actions ...string) {
		for _, action := range actions {
			used = append(used, permission{action: action, resource: resource})
		}
	}
	for name, r := range all.Resources {
		p := r.Properties
		isFunction := kebab(name) == function
		isMapping := r.Type == "AWS::Lambda::EventSourceMapping" && kebab(strings.TrimSuffix(resourceOf(&p.FunctionName), ".Alias")) == function
		for _, d := range []destination{p.DestinationConfig, p.EventInvokeConfig.DestinationConfig} {
			if queue := resourceOf(&d.OnFailure.Queue); queue != "" && (isFunction || isMapping) {
				use(queue, "sqs:SendMessage")
			}
		}
		switch source := resourceOf(&p.EventSource); {
		case !isMapping:
		case strings.HasSuffix(source, ".StreamArn"):
			use(source, "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams")
		default:
			use(source, "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
		}
	}
	return used
}

// TestQueuePoliciesAllowExactlyWhatIsUsed compares the policies of the queues with
// the services that send failed events to them. The policies must allow these, for
// the topics and rules of this stack, and nothing else. Dead-letter queues of SQS
// and of functions need no policy.
func TestQueuePoliciesAllowExactlyWhatIsUsed(t *testing.T) {
	var used, allowed struct{ services, sources []string } // each with its queue
	for name, r := range readTemplate(t).Resources {
		for event, e := range r.Properties.Events {
			if queue := resourceOf(&e.Properties.RedrivePolicy.Queue); queue != "" {
				used.services = append(used.services, queue+" for sns.amazonaws.com")
				used.sources = append(used.sources, queue+" for "+resourceOf(&e.Properties.Topic))
			}
			if queue := resourceOf(&e.Properties.DeadLetterConfig.Queue); queue != "" {
				used.services = append(used.services, queue+" for events.amazonaws.com")
				used.sources = append(used.sources, queue+" for "+name+event) // as SAM names the rule
			}
		}
		if r.Type != "AWS::SQS::QueuePolicy" {
			continue
		}
		for _, s := range r.Properties.PolicyDocument.Statement {
			var principal map[string]yaml.Node
			if err := s.Principal.Decode(&principal); err != nil {
				t.Fatal(err)
			}
			services, sources := principal["Service"], s.Condition["ArnEquals"]["aws:SourceArn"]
			for _, p := range s.permissions(t, name) {
				if p.action != "sqs:SendMessage" {
					t.Errorf("%s allows %s", name, p.action)
				}
				for _, service := range elementsOf(&services) {
					allowed.services = append(allowed.services, p.resource+" for "+service.Value)
				}
				for _, source := range elementsOf(&sources) {
					allowed.sources = append(allowed.sources, p.resource+" for "+resourceOf(source))
				}
			}
		}
	}
	compareLists(t, "template.yaml", allowed.services, used.services)
	compareLists(t, "template.yaml", allowed.sources, used.sources)
	if len(used.sources) == 0 {
		t.Error("no service sends failed events")
	}
}

// TestPolicyOfCheckReleaseAllowsExactlyWhatIsUsed compares the policy of the
// function that checks a release with the versions in its environment.
func TestPolicyOfCheckReleaseAllowsExactlyWhatIsUsed(t *testing.T) {
	const function = "check-release"
	used := []permission{{"codedeploy:PutLifecycleEventHookExecutionStatus",
		"arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:*/*", ""}}
	for _, value := range environmentOf(readTemplate(t), function) {
		if strings.HasSuffix(value, ".Version") {
			used = append(used, permission{"lambda:InvokeFunction", value, ""})
		}
	}
	if len(used) != 5 {
		t.Errorf("the function uses %v, want four versions and CodeDeploy", used)
	}
	compareLists(t, "the policy", allowedPermissions(t)[function], used)
}
