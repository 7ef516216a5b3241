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
	"overplane.dev/leads/pkg/queue"
)

// record is a record of the table's stream as Lambda delivers it, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html. It differs from
// [events.DynamoDBEventRecord] in that the images stay JSON: an unreadable image
// must be an error of its own record only.
type record struct {
	EventSource    string `json:"eventSource"`
	EventSourceARN string `json:"eventSourceARN"`
	EventName      string `json:"eventName"`
	Change         struct {
		Keys                        json.RawMessage `json:",omitempty"`
		SequenceNumber              string
		StreamViewType              string // may be absent
		ApproximateCreationDateTime events.SecondsEpochTime
		OldImage, NewImage          json.RawMessage `json:",omitempty"`
	} `json:"dynamodb"`

	text json.RawMessage // the whole record
}

func parseRecords(payload []byte) ([]record, error) {
	var batch struct{ Records []json.RawMessage }
	err := json.Unmarshal(payload, &batch)
	// encoding/json would use the last of two members with the same name.
	valid := err == nil && len(batch.Records) > 0 && jsontext.Value(payload).IsValid(jsontext.AllowInvalidUTF8(true))
	var records []record
	for _, text := range batch.Records {
		r := record{text: text}
		err := json.Unmarshal(text, &r)
		valid = valid && err == nil && r.EventSource == "aws:dynamodb" && r.Change.SequenceNumber != ""
		records = append(records, r)
	}
	if !valid {
		return nil, errors.New("the event is not a batch of a DynamoDB stream: connect this function to the stream of the table")
	}
	for _, r := range records {
		if !r.hasItsImages() {
			return nil, fmt.Errorf("a record with the event name %.20q does not have the images before and after the change: "+
				"connect this function to a stream with the view type NEW_AND_OLD_IMAGES", r.EventName)
		}
	}
	return records, nil
}

// hasItsImages reports whether the record has the images that belong to its
// event name. Records of a stream with another view type have fewer: an update
// would look like a create or a delete, or like no change.
func (r *record) hasItsImages() bool {
	if view := r.Change.StreamViewType; view != "" && view != "NEW_AND_OLD_IMAGES" {
		return false
	}
	hasOld, hasNew := hasImage(r.Change.OldImage), hasImage(r.Change.NewImage)
	switch r.EventName {
	case "INSERT":
		return !hasOld && hasNew
	case "MODIFY":
		return hasOld && hasNew
	case "REMOVE":
		return hasOld && !hasNew
	}
	return false
}

func hasImage(image json.RawMessage) bool { return len(image) > 0 && string(image) != "null" }

// event returns the event for the record. It returns false if the record is not
// about a lead, or if the lead did not change. An error means that there can
// never be an event for this record. A panic becomes such an error.
func (r *record) event(versionOffset int64) (e Event, ok bool, err error) {
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
	c, ok := dynamo.ChangeOf(before, after, versionOffset)
	if !ok || c.Before != nil && c.After != nil && c.Before.Version == c.After.Version {
		return e, false, nil
	}
	e = newEvent(c, r.Change.ApproximateCreationDateTime.UTC())
	switch {
	case !jsontext.Value(e.Detail).IsValid():
		return e, false, errors.New("the item has a value that no lead can have")
	case len(e.Detail) > maxDetail:
		return e, false, fmt.Errorf("the event would have %d bytes, and EventBridge accepts only %d", len(e.Detail), maxDetail)
	}
	return e, true, nil
}

// rejected returns the record for the dead-letter queue.
func (r *record) rejected(reason error) queue.Rejected {
	text := r.text
	if len(text) > maxRejected {
		short := *r
		short.Change.OldImage, short.Change.NewImage = nil, nil
		text, _ = json.Marshal(short) // its parts were parsed before
	}
	return queue.Rejected{
		Body:   text,
		ID:     r.EventSourceARN + "/" + r.Change.SequenceNumber,
		Source: "stream",
		Origin: fmt.Sprintf("record %s of %s", r.Change.SequenceNumber, r.EventSourceARN),
		Code:   "record_unreadable",
		Reason: reason.Error(),
	}
}

// parseImage returns the item of an image, or nil if there is no image.
func parseImage(image json.RawMessage) (map[string]types.AttributeValue, error) {
	if !hasImage(image) {
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
