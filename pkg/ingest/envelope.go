package ingest

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
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
func decode(text []byte, into any, more ...json.Options) error {
	return json.Unmarshal(text, into, append(more, jsontext.AllowInvalidUTF8(true))...)
}

// parse tells the kind of a delivery by its envelope alone: what is in the
// records has no say.
func parse(payload []byte) (envelope, error) {
	if list := jsontext.Value(payload); list.Kind() == '[' {
		return parseRecords(list)
	}
	var members map[string]jsontext.Value
	if err := decode(payload, &members); err != nil || members == nil {
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
		var c call
		if err := decode(payload, &c, json.RejectUnknownMembers(true)); err != nil {
			return nil, unexpected("beside leads, a list, only idempotency_key may stand, a string")
		}
		return &c, c.check()
	case has("detail-type") && has("detail") && has("id"):
		var e event
		if err := decode(payload, &e); err != nil || e.ID == "" {
			return nil, unexpected("its id is not a string")
		}
		// "aws." is for AWS alone, see
		// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
		// The detail of a schedule's event is {}, which would be a lead.
		if strings.HasPrefix(e.Source, "aws.") {
			return nil, unexpected("it is a service's own event, %.60q of %.60q, and no lead", e.Type, e.Source)
		}
		return &e, nil
	}
	return nil, unexpected("it has neither Records nor leads nor detail-type")
}

func parseRecords(list jsontext.Value) (envelope, error) {
	var sources []struct {
		Lower string `json:"eventSource"`
		Upper string `json:"EventSource"` // of SNS
	}
	if err := decode(list, &sources); err != nil || len(sources) == 0 {
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
	switch source := sources[0].Lower + sources[0].Upper; source {
	case "aws:sqs":
		e = &batch{}
	case "aws:sns":
		e = &notifications{}
	case "aws:s3":
		e = &files{}
	default:
		return nil, unexpected("its records are of the source %.40q", source)
	}
	if err := decode(list, e); err != nil {
		return nil, unexpected("a record is not as its source writes them")
	}
	return e, e.check()
}

// wrapping says of a body that is no lead in which envelope it still is, or
// nothing. It has no say in what is taken: it mends the reason.
func wrapping(body []byte) string {
	var members map[string]jsontext.Value
	if json.Unmarshal(body, &members) != nil {
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
type attributes map[string]struct {
	SQS string `json:"stringValue"`
	SNS string `json:"Value"`
}

func (a attributes) get(name string) (string, bool) {
	v, ok := a[name]
	return v.SQS + v.SNS, ok
}

// idempotencyKey is the attribute by which a sender names a record.
const idempotencyKey = "idempotency_key"

// named returns the name of a record of this source: the sender's own, else its
// id there.
func named(source, id string, sent attributes) (lead.Once, error) {
	key, ok := sent.get(idempotencyKey)
	if !ok {
		return lead.Once{Source: source, Key: "id/" + id, Keep: Keep}, nil
	}
	return lead.Once{Source: source, Key: "key/" + key, Keep: Keep}, checkKey(key)
}

// checkKey holds a sender's key to the rules of the header Idempotency-Key.
func checkKey(key string) error {
	printable := !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
	if key == "" || len(key) > 255 || !printable {
		return lead.Invalid{{
			Param: idempotencyKey, Code: lead.ParameterInvalid,
			Message: "Send an idempotency_key of 1 to 255 printable ASCII characters, or none.",
		}}
	}
	return nil
}
