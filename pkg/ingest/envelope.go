package ingest

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// expected says which events there are.
const expected = "Send one of: a batch of SQS messages, SNS notifications or S3 ObjectCreated notifications " +
	`({"Records":[...]}, all of one kind, or the list alone, as EventBridge Pipes sends it), an EventBridge event ({"id":...,"detail-type":...,"detail":{...}}), ` +
	`or a call with many leads ({"leads":[...],"idempotency_key":...}).`

func unexpected(format string, args ...any) error {
	return &lead.SyntaxError{Message: "The event is none that this function takes: " + fmt.Sprintf(format, args...) + ". " + expected}
}

// decode reads JSON. Half a character is left to those who read the texts in it
// (see text), so that it spoils its record alone; a name that occurs twice is
// refused.
func decode[T any](text []byte, read func(*jsontext.Decoder) (T, error)) (T, error) {
	return plainjson.Whole(text, read, jsontext.AllowInvalidUTF8(true))
}

// parse tells the kind of a delivery by its envelope alone: what is in the
// records has no say.
func parse(payload []byte) (envelope, error) {
	if list := jsontext.Value(payload); list.Kind() == '[' {
		return parseRecords(list)
	}
	members, err := decode(payload, plainjson.Values)
	if err != nil || members == nil {
		return nil, unexpected("it is not a JSON object whose names occur once")
	}
	has := func(name string) bool { _, ok := members[name]; return ok }
	switch {
	case has("Records"):
		if len(members) > 1 {
			return nil, unexpected("Records stands beside something else")
		}
		return parseRecords(members["Records"])
	case has("leads"):
		c, err := decode(payload, readCall)
		if err != nil {
			return nil, unexpected("beside leads, a list, only idempotency_key may stand, a string")
		}
		return c, c.check()
	case has("detail-type") && has("detail") && has("id"):
		e, err := decode(payload, readEvent)
		if err != nil || e.id == "" {
			return nil, unexpected("its id is not a string")
		}
		// "aws." is for AWS alone, see
		// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
		// The detail of a schedule's event is {}, which would be a lead.
		if strings.HasPrefix(e.source, "aws.") {
			return nil, unexpected("it is a service's own event, %.60q of %.60q, and no lead", e.detailType, e.source)
		}
		return e, nil
	}
	return nil, unexpected("it has neither Records nor leads nor detail-type")
}

func parseRecords(list jsontext.Value) (envelope, error) {
	sources, err := decode(list, readSources)
	if err != nil || len(sources) == 0 {
		return nil, unexpected("it has no list of records")
	}
	for _, s := range sources {
		if s != sources[0] {
			return nil, unexpected("its records are of several sources")
		}
	}
	var e interface {
		envelope
		check() error
	}
	switch source := sources[0].lower + sources[0].upper; source {
	case "aws:sqs":
		e, err = decode(list, readBatch)
	case "aws:sns":
		e, err = decode(list, readNotifications)
	case "aws:s3":
		e, err = decode(list, readFiles)
	default:
		return nil, unexpected("its records are of the source %.40q", source)
	}
	if err != nil {
		return nil, unexpected("a record is not as its source writes them")
	}
	return e, e.check()
}

// source is the source of a record.
type source struct{ lower, upper string } // eventSource, and EventSource of SNS

func readSources(d *jsontext.Decoder) ([]source, error) { return plainjson.List(d, readSource) }

func readSource(d *jsontext.Decoder) (s source, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "eventSource":
			s.lower, err = plainjson.String(d)
		case "EventSource":
			s.upper, err = plainjson.String(d)
		default:
			err = d.SkipValue()
		}
		return err
	})
	return s, err
}

// wrapping says of a body that is no lead in which envelope it still is, or
// nothing. It has no say in what is taken: it mends the reason.
func wrapping(body []byte) string {
	members, err := plainjson.Whole(body, plainjson.Values)
	if err != nil {
		return ""
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := members[name]; !ok {
				return false
			}
		}
		return true
	}
	switch {
	case has("Type", "TopicArn", "Message"):
		return "The lead is still inside a notification of SNS: switch on raw message delivery for the subscription of the queue."
	case has("detail-type", "detail"):
		return "The lead is still inside an event of EventBridge: let the rule send $.detail alone, as its InputPath."
	case has("Records"), has("Service", "Event", "Bucket"):
		return "This is a notification, of S3 perhaps, and no lead: let the bucket call the function itself."
	case has("requestPayload", "requestContext"):
		return "This is an event that Lambda gave up, and no lead: call the function with its requestPayload."
	}
	return ""
}

// text returns the text that a JSON string stands for. One that holds half a
// character stays quoted, and is refused as no object where it should be one.
func text(value jsontext.Value) []byte {
	plain, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return value
	}
	return plain
}

// attributes are the attributes of an SQS message or an SNS notification, each
// source with names of its own.
type attributes map[string]attribute

type attribute struct{ sqs, sns string }

func readAttributes(d *jsontext.Decoder) (attributes, error) { return plainjson.Map(d, readAttribute) }

func readAttribute(d *jsontext.Decoder) (a attribute, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "stringValue":
			a.sqs, err = plainjson.String(d)
		case "Value":
			a.sns, err = plainjson.String(d)
		default:
			err = d.SkipValue()
		}
		return err
	})
	return a, err
}

func (a attributes) get(name string) (string, bool) {
	v, ok := a[name]
	return v.sqs + v.sns, ok
}

// idempotencyKey is the attribute by which a sender names a record.
const idempotencyKey = "idempotency_key"

// named returns the name of a record of this source: the sender's own, else its
// id there.
func named(source, id string, sent attributes) (lead.IdempotencyKey, error) {
	key, ok := sent.get(idempotencyKey)
	if !ok {
		return lead.IdempotencyKey{Source: source, Key: "id/" + id, TTL: Keep}, nil
	}
	return lead.IdempotencyKey{Source: source, Key: "key/" + key, TTL: Keep}, checkKey(key)
}

// checkKey holds a sender's key to the rules of the header Idempotency-Key.
func checkKey(key string) error {
	if lead.ValidIdempotencyKey(key) {
		return nil
	}
	return lead.ValidationError{{
		Param: idempotencyKey, Code: lead.ParameterInvalid,
		Message: fmt.Sprintf("Send an idempotency_key of 1 to %d printable ASCII characters, or none.", lead.MaxIdempotencyKey),
	}}
}
