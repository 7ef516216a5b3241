package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

const (
	collection = "/api/crm/lead"

	// sample is a lead as clients send them.
	sample = `{"lead_name":"Ada Lovelace","company_name":"Example Corp","email_id":"ada@example.com","mobile_no":"+44 20 7946 0000",` +
		`"city":"London","country":"United Kingdom","industry":"Software","website":"https://example.com","annual_revenue":1250000}`
	holds = `"lead_name":"Ada Lovelace"`
)

// events returns what a function of this name is sent.
func (w *world) events(ctx context.Context, name string) (events, error) {
	kept, err := w.lead(ctx)
	if err != nil {
		return nil, err
	}
	member := collection + "/" + string(kept)
	same := func(e event) (events, error) { return func(context.Context) (event, error) { return e, nil }, nil }
	retrieve := w.request("GET", member, string(kept), "")
	switch name {
	case empty:
		return same(event{retrieve, func(got []byte) error {
			if string(got) != "{}" {
				return fmt.Errorf("answered %s", got)
			}
			return nil
		}})
	case smallest:
		return same(event{retrieve, contains("Ada Lovelace")})
	case ordinary:
		return same(event{retrieve, answers(200, `"ln":"Ada Lovelace"`)})
	case "retrieve-lead":
		return same(event{retrieve, answers(200, `"id":"`+string(kept)+`"`, holds)})
	case "create-lead":
		return same(event{w.request("POST", collection, "", sample), answers(201, holds)})
	case "update-lead": // each its own lead: one that was just updated has more to read
		return func(ctx context.Context) (event, error) {
			id, err := w.lead(ctx)
			return event{w.request("PATCH", collection+"/"+string(id), string(id), `{"status":"Open"}`), answers(200, holds, `"status":"Open"`)}, err
		}, nil
	case "list-leads":
		for range 20 {
			if _, err := w.lead(ctx); err != nil {
				return nil, err
			}
		}
		return same(event{w.request("GET", collection, "", ""), answers(200, holds, `"has_more":true`)})
	case "delete-lead":
		return func(ctx context.Context) (event, error) {
			id, err := w.lead(ctx)
			return event{w.request("DELETE", collection+"/"+string(id), string(id), ""), answers(200, `"id":"`+string(id)+`","deleted":true`)}, err
		}, nil
	case "unmatched":
		return same(event{w.request("GET", "/", "", ""), answers(404, "route_unknown")})
	case "ingest-leads":
		return same(event{[]byte(`{"leads":[` + sample + `]}`), contains(`"id":"lead_`)})
	case "publish-changes":
		record, err := w.record(ctx, kept)
		return func(context.Context) (event, error) { return event{record, contains(`"batchItemFailures":[]`)}, nil }, err
	}
	return nil, fmt.Errorf("there is no event for the function %s: add one to tools/bench/cold/events.go", name)
}

func contains(part string) func([]byte) error {
	return func(got []byte) error {
		if !bytes.Contains(got, []byte(part)) {
			return fmt.Errorf("answered %s, which lacks %s", got, part)
		}
		return nil
	}
}

// lead makes a lead of the sample.
func (w *world) lead(ctx context.Context) (lead.ID, error) {
	changes, err := lead.ParseChanges([]byte(sample))
	if err != nil {
		return "", err
	}
	values := lead.Defaults()
	values.Apply(changes)
	made, _, err := w.table.Create(ctx, w.tenant, values, lead.IdempotencyKey{})
	return made.ID, err
}

// record returns the event of the table's stream for the creation of a lead.
func (w *world) record(ctx context.Context, id lead.ID) ([]byte, error) {
	out, err := w.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(tableName),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: w.tenant.Account + "/" + string(w.tenant.Mode) + "/" + string(id)},
			"sk": &types.AttributeValueMemberS{Value: "lead"},
		},
	})
	if err != nil {
		return nil, err
	}
	image, err := attributevalue.MarshalMapJSON(out.Item)
	return fmt.Appendf(nil, `{"Records":[{"eventID":"1","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1",`+
		`"dynamodb":{"ApproximateCreationDateTime":1705311000,"NewImage":%s,"SequenceNumber":"1","SizeBytes":500,"StreamViewType":"NEW_AND_OLD_IMAGES"},`+
		`"eventSourceARN":"arn:aws:dynamodb:eu-west-1:123456789012:table/leads/stream/2024-01-15T09:30:00.000"}]}`, image), err
}
