package changes

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// record is one of the table's stream as Lambda delivers it, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html.
type record struct {
	Source string `json:"eventSource"`
	Stream struct {
		SequenceNumber string         `json:"SequenceNumber"`
		Time           float64        `json:"ApproximateCreationDateTime"` // Unix seconds
		Before         jsontext.Value `json:"OldImage"`
		After          jsontext.Value `json:"NewImage"`
	} `json:"dynamodb"`
}

func parse(payload []byte) ([]record, error) {
	var batch struct {
		Records []record `json:"Records"`
	}
	err := json.Unmarshal(payload, &batch, json.RejectUnknownMembers(false))
	valid := err == nil && len(batch.Records) > 0
	for _, r := range batch.Records {
		valid = valid && r.Source == "aws:dynamodb" && r.Stream.SequenceNumber != ""
	}
	if !valid {
		return nil, errors.New("the event is no batch of a DynamoDB stream: connect this function to the stream of the table")
	}
	return batch.Records, nil
}

// event returns the event that tells of the record, and false where there is
// nothing to tell. A panic is the record's own error.
func (r *record) event() (e Event, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	before, err := image(r.Stream.Before)
	if err != nil {
		return e, false, err
	}
	after, err := image(r.Stream.After)
	if err != nil {
		return e, false, err
	}
	c, ok := dynamo.ChangeOf(before, after)
	if !ok || c.Before != nil && c.After != nil && c.Before.Version == c.After.Version {
		return e, false, nil
	}
	seconds, fraction := math.Modf(r.Stream.Time)
	e.Time = time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
	e.Type, e.Detail, e.lead = detail(&c, e.Time)
	return e, true, nil
}

func image(text jsontext.Value) (map[string]types.AttributeValue, error) {
	if len(text) == 0 {
		return nil, nil
	}
	return attributevalue.UnmarshalMapJSON(text)
}

// detail returns the type of a change's event, its detail, and whose it is.
//
// A lead's deletion counts as a change of its version too, so that the version
// of its last event is the greatest.
func detail(c *dynamo.Change, at time.Time) (kind string, text []byte, id lead.ID) {
	l, version := c.After, int64(0)
	switch {
	case c.Before == nil:
		kind, version = "lead.created", l.Version
	case c.After == nil:
		l = c.Before
		kind, version = "lead.deleted", l.Version+1
	default:
		kind, version = "lead.updated", l.Version
	}
	text = append(text, `{"event_id":"`...)
	text = append(text, l.ID...)
	text = append(text, '.')
	text = strconv.AppendInt(text, version, 10)
	text = append(text, `","account":"`...)
	text = append(text, c.Tenant.Account...)
	text = append(text, `","mode":"`...)
	text = append(text, c.Tenant.Mode...)
	text = append(text, `","id":"`...)
	text = append(text, l.ID...)
	text = append(text, `","version":`...)
	text = strconv.AppendInt(text, version, 10)
	text = append(text, `,"time":"`...)
	text = at.AppendFormat(text, time.RFC3339)
	text = append(text, `","lead":`...)
	text = l.AppendJSON(text)
	if kind == "lead.updated" {
		text = append(text, `,"previous":`...)
		text = appendPrevious(text, c)
	}
	return kind, append(text, '}'), l.ID
}

// appendPrevious appends the changed fields with their old values, as an object.
func appendPrevious(text []byte, c *dynamo.Change) []byte {
	text = append(text, '{')
	first := true
	for i := range lead.Fields {
		old := c.Before.Values[i]
		if old == c.After.Values[i] {
			continue
		}
		if !first {
			text = append(text, ',')
		}
		first = false
		text = lead.AppendField(text, i, old)
	}
	return append(text, '}')
}
