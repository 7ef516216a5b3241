package publish

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// record is one of the table's stream as Lambda delivers it, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html.
type record struct {
	source         string
	sequenceNumber string
	time           float64 // Unix seconds
	before, after  jsontext.Value
}

func parse(payload []byte) ([]record, error) {
	records, err := plainjson.Whole(payload, readRecords)
	valid := err == nil && len(records) > 0
	for _, r := range records {
		valid = valid && r.source == "aws:dynamodb" && r.sequenceNumber != ""
	}
	if !valid {
		return nil, errors.New("the event is no batch of a DynamoDB stream: connect this function to the stream of the table")
	}
	return records, nil
}

func readRecords(d *jsontext.Decoder) (records []record, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		if name != "Records" {
			return d.SkipValue()
		}
		records, err = plainjson.List(d, readRecord)
		return err
	})
	return records, err
}

func readRecord(d *jsontext.Decoder) (r record, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "eventSource":
			r.source, err = plainjson.String(d)
		case "dynamodb":
			err = plainjson.Object(d, r.member)
		default:
			err = d.SkipValue()
		}
		return err
	})
	return r, err
}

// member reads what follows the name of a member of dynamodb.
func (r *record) member(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "SequenceNumber":
		r.sequenceNumber, err = plainjson.String(d)
	case "ApproximateCreationDateTime":
		r.time, err = plainjson.Float(d)
	case "OldImage":
		r.before, err = plainjson.Value(d)
	case "NewImage":
		r.after, err = plainjson.Value(d)
	default:
		err = d.SkipValue()
	}
	return err
}

// event returns the event that tells of the record, and false where there is
// nothing to tell. A panic is the record's own error.
func (r *record) event() (e Event, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	before, err := image(r.before)
	if err != nil {
		return e, false, err
	}
	after, err := image(r.after)
	if err != nil {
		return e, false, err
	}
	c, ok := dynamo.ChangeOf(before, after)
	if !ok || c.Before != nil && c.After != nil && c.Before.Version == c.After.Version {
		return e, false, nil
	}
	seconds, fraction := math.Modf(r.time)
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
