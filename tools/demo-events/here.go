package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/pkg/publish"
)

// here is the code of the functions in this process. What AWS would do between
// them is done by hand: queues are lists, and the stream is read when somebody
// asks for changes.
type here struct {
	table     *dynamo.Table
	ingester  *ingest.Ingester
	publisher *publish.Publisher
	streams   *dynamodbstreams.Client
	stream    string // its ARN
	file      string // the one file in S3
	sent      int    // to give each message an id

	queue queue
	dead  queue
	bus   memoryBus
}

type queue struct{ messages []ingest.Message }

func (q *queue) Send(_ context.Context, messages []ingest.Message) error {
	q.messages = append(q.messages, messages...)
	return nil
}

type memoryBus struct{ events []publish.Event }

func (b *memoryBus) Put(_ context.Context, events []publish.Event) ([]bool, error) {
	b.events = append(b.events, events...)
	return make([]bool, len(events)), nil
}

// Open makes here the ingest.Files of one file.
func (h *here) Open(_ context.Context, _ ingest.File, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(h.file[offset:])), nil
}

func openHere(ctx context.Context) (stage, func(), error) {
	db, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory})
	if err != nil {
		return nil, nil, err
	}
	stop := func() { db.Stop() } // a fault of its end is none of the demo's
	anybody := credentials.NewStaticCredentialsProvider("demo", "demo", "")
	client := dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(db.Endpoint()), Region: "eu-west-1", Credentials: anybody}, dynamo.Configure)
	table := dynamo.New(client, "leads")
	if err := table.CreateTable(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	updated, err := client.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName:           aws.String("leads"),
		StreamSpecification: &dynamodbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: dynamodbtypes.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		stop()
		return nil, nil, err
	}
	h := &here{
		table:   table,
		streams: dynamodbstreams.New(dynamodbstreams.Options{BaseEndpoint: aws.String(db.Endpoint()), Region: "eu-west-1", Credentials: anybody}),
		stream:  aws.ToString(updated.TableDescription.LatestStreamArn),
	}
	log := slog.New(slog.DiscardHandler)
	h.ingester = &ingest.Ingester{Tenant: tenant, Leads: table, Queue: &h.queue, DeadLetters: &h.dead, Files: h, Log: log}
	h.publisher = &publish.Publisher{Bus: &h.bus, Log: log}
	return h, stop, nil
}

// Send wraps what is sent as the service would and calls the function.
func (h *here) Send(ctx context.Context, kind, what string) (string, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	h.sent++
	switch kind {
	case sqsMessage:
		return h.message(ctx, string(text), `{}`)
	case snsNotification:
		return h.invoke(ctx, fmt.Sprintf(`{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"demo-%d","TopicArn":"demo","Message":%s,"MessageAttributes":{}}}]}`, h.sent, text))
	case busEvent:
		return h.invoke(ctx, fmt.Sprintf(`{"version":"0","id":"demo-%d","detail-type":"lead.create","source":"demo","detail":%s}`, h.sent, what))
	case csvFile:
		h.file = what
		if answer, err := h.invoke(ctx, `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"demo"},"object":{"key":"demo/March+2026.csv","eTag":"demo"}}}]}`); err != nil {
			return answer, err
		}
		for _, m := range h.queue.messages {
			body, err := json.Marshal(m.Body)
			if err != nil {
				return "", err
			}
			if _, err := h.message(ctx, string(body), fmt.Sprintf(`{"leads_content":{"stringValue":%q,"dataType":"String"}}`, m.Attributes["leads_content"])); err != nil {
				return "", err
			}
		}
		return "", nil
	}
	return h.invoke(ctx, what)
}

// message delivers one of SQS.
func (h *here) message(ctx context.Context, body, attributes string) (string, error) {
	answer, err := h.invoke(ctx, fmt.Sprintf(`{"Records":[{"messageId":"demo-%d","body":%s,"attributes":{},"messageAttributes":%s,"eventSource":"aws:sqs","eventSourceARN":"demo"}]}`, h.sent, body, attributes))
	if err == nil && answer != `{"batchItemFailures":[]}` {
		err = fmt.Errorf("the function failed a message: %s", answer)
	}
	return "", err
}

func (h *here) invoke(ctx context.Context, event string) (string, error) {
	answer, err := h.ingester.Invoke(ctx, []byte(event))
	return string(answer), err
}

func (h *here) Leads(ctx context.Context) (names []string, err error) {
	for l, err := range h.table.All(ctx, tenant) {
		if err != nil {
			return nil, err
		}
		names = append(names, fmt.Sprint(l.Values[0]))
	}
	return names, nil
}

// Changes gives the stream to the function, all of it each time: what it
// publishes again has the same ids.
func (h *here) Changes(ctx context.Context) (all []change, err error) {
	described, err := h.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &h.stream})
	if err != nil {
		return nil, err
	}
	var records []map[string]any
	for _, shard := range described.StreamDescription.Shards {
		from, err := h.streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &h.stream, ShardId: shard.ShardId, ShardIteratorType: streams.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			return nil, err
		}
		page, err := h.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: from.ShardIterator})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			record, err := delivered(r)
			if err != nil {
				return nil, err
			}
			records = append(records, record)
		}
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return nil, err
	}
	if _, err := h.publisher.Invoke(ctx, event); err != nil {
		return nil, err
	}
	for _, e := range h.bus.events {
		c := change{Type: e.Type}
		if err := json.Unmarshal(e.Detail, &c.Detail); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// delivered returns a record of the stream as Lambda delivers it.
func delivered(r streams.Record) (map[string]any, error) {
	change := map[string]any{
		"SequenceNumber":              aws.ToString(r.Dynamodb.SequenceNumber),
		"ApproximateCreationDateTime": r.Dynamodb.ApproximateCreationDateTime.Unix(),
	}
	for name, image := range map[string]map[string]streams.AttributeValue{"NewImage": r.Dynamodb.NewImage, "OldImage": r.Dynamodb.OldImage} {
		if len(image) == 0 {
			continue
		}
		values, err := attributevalue.FromDynamoDBStreamsMap(image)
		if err != nil {
			return nil, err
		}
		text, err := attributevalue.MarshalMapJSON(values)
		if err != nil {
			return nil, err
		}
		change[name] = json.RawMessage(text)
	}
	return map[string]any{"eventSource": "aws:dynamodb", "eventName": string(r.EventName), "dynamodb": change}, nil
}

func (h *here) DeadLetters(context.Context) (letters []letter, err error) {
	for _, m := range h.dead.messages {
		letters = append(letters, letter{m.Body, m.Attributes["origin"], m.Attributes["code"], m.Attributes["reason"]})
	}
	h.dead.messages = nil
	return letters, nil
}
