package ingest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// recordsEvent is an event whose records succeed or fail together: an event of
// EventBridge or a batch of notifications of SNS.
type recordsEvent struct {
	source  string
	records []record
}

func (e *recordsEvent) kind() string { return e.source }

func (e *recordsEvent) handle(ctx context.Context, v *invocation) ([]byte, error) {
	return nil, checkRetry(v.createLeads(ctx, e.records))
}

// parseEventBridge parses an event of EventBridge, whose detail is a lead, see
// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
func parseEventBridge(payload []byte) (event, error) {
	var e events.EventBridgeEvent
	if err := json.Unmarshal(payload, &e); err != nil || e.ID == "" {
		return nil, errUnexpected("its members are not as EventBridge documents them")
	}
	// Only AWS may use a source that begins with "aws.". The detail of a scheduled
	// event is {}, which would be a lead.
	if strings.HasPrefix(e.Source, "aws.") {
		return nil, errUnexpected("it is an event of an AWS service, %.60q of %.60q, and not a lead", e.DetailType, e.Source)
	}
	r := newRecord("eventbridge", e.ID, "EventBridge event "+e.ID, e.Detail)
	r.key.Key, r.upsert = e.ID, e.DetailType == upsertType
	return &recordsEvent{"eventbridge", []record{r}}, nil
}

// parseSNS parses notifications of SNS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html.
func parseSNS(list json.RawMessage) (event, error) {
	var notifications []struct {
		SNS struct {
			events.SNSEntity
			Message json.RawMessage `json:"Message"` // a JSON string, see unquote
		} `json:"Sns"`
	}
	if err := json.Unmarshal(list, &notifications); err != nil {
		return nil, errUnexpected("a record is not a notification as SNS sends it")
	}
	e := &recordsEvent{source: "sns"}
	for _, n := range notifications {
		id := n.SNS.MessageID
		if id == "" || !isString(n.SNS.Message) {
			return nil, errUnexpected("a notification has no MessageId, or its Message is not a string")
		}
		r := newRecord("sns", id, "SNS message "+id+" of "+n.SNS.TopicArn, unquote(n.SNS.Message))
		attributes := map[string]string{}
		for name, a := range n.SNS.MessageAttributes {
			members, _ := a.(map[string]any)
			attributes[name], _ = members["Value"].(string)
		}
		r.setKeyFrom(attributes)
		r.setTypeFrom(attributes)
		e.records = append(e.records, r)
	}
	return e, nil
}
