package ingest

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/events"
)

// snsEvent is a batch of notifications of SNS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html.
type snsEvent []struct {
	SNS struct {
		events.SNSEntity
		Message json.RawMessage `json:"Message"` // a JSON string, see unquote
	} `json:"Sns"`
}

func parseSNS(list json.RawMessage) (event, error) {
	var e snsEvent
	if err := json.Unmarshal(list, &e); err != nil {
		return nil, errUnexpected("a record is not a notification as SNS sends it")
	}
	for _, n := range e {
		if n.SNS.MessageID == "" || !isString(n.SNS.Message) {
			return nil, errUnexpected("a notification has no MessageId, or its Message is not a string")
		}
	}
	return e, nil
}

func (snsEvent) kind() string { return "sns" }

func (e snsEvent) handle(ctx context.Context, v *invocation) ([]byte, error) {
	var records []record
	for _, n := range e {
		r := newRecord("sns", n.SNS.MessageID, "SNS message "+n.SNS.MessageID+" of "+n.SNS.TopicArn, unquote(n.SNS.Message))
		if attribute, ok := n.SNS.MessageAttributes[keyName]; ok {
			members, _ := attribute.(map[string]any)
			key, _ := members["Value"].(string)
			r.setKey(key)
		}
		records = append(records, r)
	}
	return nil, checkRetry(v.createLeads(ctx, records))
}
