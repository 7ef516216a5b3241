package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// record is a record of the table's stream as Lambda delivers it, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html. It differs from
// [events.DynamoDBEventRecord] in that the images stay JSON: an unreadable image
// must be an error of its own record only.
type record struct {
	EventSource string `json:"eventSource"`
	Change      struct {
		SequenceNumber              string
		ApproximateCreationDateTime events.SecondsEpochTime
		OldImage, NewImage          json.RawMessage
	} `json:"dynamodb"`
}

func parseRecords(payload []byte) ([]record, error) {
	var batch struct{ Records []record }
	err := json.Unmarshal(payload, &batch)
	// encoding/json would use the last of two members with the same name.
	valid := err == nil && len(batch.Records) > 0 && jsontext.Value(payload).IsValid(jsontext.AllowInvalidUTF8(true))
	for _, r := range batch.Records {
		valid = valid && r.EventSource == "aws:dynamodb" && r.Change.SequenceNumber != ""
	}
	if !valid {
		return nil, errors.New("the event is not a batch of a DynamoDB stream: connect this function to the stream of the table")
	}
	return batch.Records, nil
}

// event returns the event for the record. It returns false if the record is not
// about a lead, or if the lead did not change. A panic becomes an error of this
// record only.
func (r *record) event() (e Event, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	before, err := parseImage(r.Change.OldImage)
	if err != nil {
		return e, false, err
	}
	after, err := parseImage(r.Change.NewImage)
	if err != nil {
		return e, false, err
	}
	c, ok := dynamo.ChangeOf(before, after)
	if !ok || c.Before != nil && c.After != nil && c.Before.Version == c.After.Version {
		return e, false, nil
	}
	return newEvent(c, r.Change.ApproximateCreationDateTime.UTC()), true, nil
}

// parseImage returns the item of an image, or nil if there is no image.
func parseImage(image json.RawMessage) (map[string]types.AttributeValue, error) {
	if len(image) == 0 {
		return nil, nil
	}
	// UnmarshalMapJSON would silently replace invalid Unicode.
	if !jsontext.Value(image).IsValid() {
		return nil, errors.New("an image has text that is not valid Unicode")
	}
	return attributevalue.UnmarshalMapJSON(image)
}

// newEvent returns the event for a change. Deleting a lead counts as one more
// version, so that the last event of a lead has the highest version.
func newEvent(c dynamo.Change, at time.Time) Event {
	e := Event{Type: "lead.updated", Time: at}
	l := c.After
	version := int64(0)
	previous := ""
	switch {
	case c.Before == nil:
		e.Type = "lead.created"
		version = l.Version
	case c.After == nil:
		e.Type = "lead.deleted"
		l = c.Before
		version = l.Version + 1
	default:
		version = l.Version
		previous = fmt.Sprintf(`,"previous":%s`, changedFields(c))
	}
	e.lead = l.ID
	e.Detail = fmt.Appendf(nil, `{"event_id":"%s.%d","account":"%s","mode":"%s","id":"%s","version":%d,"time":"%s","lead":%s%s}`,
		l.ID, version, c.Tenant.Account, c.Tenant.Mode, l.ID, version, at.Format(time.RFC3339), l.AppendJSON(nil), previous)
	return e
}

// changedFields returns the fields that changed, with their old values, as a
// JSON object.
func changedFields(c dynamo.Change) []byte {
	object := []byte{'{'}
	for i, old := range c.Before.Values {
		if old == c.After.Values[i] {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = lead.AppendField(object, i, old)
	}
	return append(object, '}')
}
