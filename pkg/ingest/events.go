package ingest

import (
	"crypto/rand"
	"errors"
	"strconv"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// event is an event of EventBridge, whose detail is the lead, see
// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
type event struct {
	id, source, detailType string
	detail                 jsontext.Value
}

func readEvent(d *jsontext.Decoder) (e event, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "id":
			e.id, err = plainjson.String(d)
		case "source":
			e.source, err = plainjson.String(d)
		case "detail-type":
			e.detailType, err = plainjson.String(d)
		case "detail":
			e.detail, err = plainjson.Value(d)
		default:
			err = d.SkipValue()
		}
		return err
	})
	return e, err
}

func (event) kind() string { return "eventbridge" }

func (e event) handle(d *delivery) ([]byte, error) {
	return nil, done(d.admit([]record{{
		body:   e.detail,
		once:   lead.IdempotencyKey{Source: "eventbridge", Key: e.id, TTL: Keep},
		id:     e.id,
		origin: "EventBridge event " + e.id,
	}}))
}

// notifications are those of SNS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html.
type notifications []notification

type notification struct {
	id, topic  string
	message    jsontext.Value // a JSON string
	attributes attributes
}

func readNotifications(d *jsontext.Decoder) (notifications, error) {
	return plainjson.List(d, readNotification)
}

func readNotification(d *jsontext.Decoder) (n notification, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) error {
		if name == "Sns" {
			return plainjson.Object(d, n.member)
		}
		return d.SkipValue()
	})
	return n, err
}

// member reads what follows the name of a member.
func (n *notification) member(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "MessageId":
		n.id, err = plainjson.String(d)
	case "TopicArn":
		n.topic, err = plainjson.String(d)
	case "Message":
		n.message, err = plainjson.Value(d)
	case "MessageAttributes":
		n.attributes, err = readAttributes(d)
	default:
		err = d.SkipValue()
	}
	return err
}

func (notifications) kind() string { return "sns" }

func (all notifications) check() error {
	for _, n := range all {
		if n.id == "" || n.message.Kind() != '"' {
			return unexpected("a notification has no MessageId or no text as its Message")
		}
	}
	return nil
}

func (all notifications) handle(d *delivery) ([]byte, error) {
	var records []record
	for _, n := range all {
		r := record{body: text(n.message), id: n.id, origin: "SNS message " + n.id + " of " + n.topic}
		r.once, r.err = named("sns", n.id, n.attributes)
		records = append(records, r)
	}
	return nil, done(d.admit(records))
}

// call is a call by someone who has many leads at hand.
type call struct {
	leads []jsontext.Value // nil for null
	key   string
	named bool // whether there is a key
}

// errUnknown is the error of a member that stands where no other may.
var errUnknown = errors.New("it has a member of another name")

func readCall(d *jsontext.Decoder) (*call, error) {
	c := &call{}
	return c, plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "leads":
			c.leads, err = plainjson.List(d, plainjson.Value)
		case "idempotency_key":
			c.named = d.PeekKind() != 'n'
			c.key, err = plainjson.String(d)
		default:
			err = errUnknown
		}
		return err
	})
}

func (call) kind() string { return "call" }

// maxCall is how many leads a call may have. Their results are well within the
// 6 MB that Lambda's answer may have, and their making within its time.
const maxCall = 100

func (c *call) check() error {
	switch {
	case c.leads == nil || len(c.leads) > maxCall:
		return lead.ValidationError{{Param: "leads", Code: lead.ParameterInvalid, Message: "Send a list of at most " + strconv.Itoa(maxCall) + " leads; for more, send them to the queue or upload a file."}}
	case c.named:
		return checkKey(c.key)
	}
	return nil
}

// handle answers with one result for each lead, in their order: the lead, or the
// error that the API would answer. If any is to be tried again the whole call
// is an error; sent again under its name it doubles nothing.
func (c *call) handle(d *delivery) ([]byte, error) {
	requestID := rand.Text()
	if lc, ok := lambdacontext.FromContext(d.ctx); ok {
		requestID = lc.AwsRequestID // the same when Lambda itself tries again
	}
	name := "request/" + requestID
	if c.named {
		name = "key/" + c.key
	}
	var records []record
	for i, l := range c.leads {
		place := "/" + strconv.Itoa(i)
		records = append(records, record{
			body:   l,
			once:   lead.IdempotencyKey{Source: "call", Key: name + place, TTL: Keep},
			id:     requestID + place,
			origin: "call " + requestID + ", lead " + strconv.Itoa(i),
		})
	}
	outcomes := d.admit(records)
	if err := done(outcomes); err != nil {
		return nil, err
	}
	answer := []byte(`{"results":[`)
	for i, o := range outcomes {
		if i > 0 {
			answer = append(answer, ',')
		}
		if o.Err != nil {
			answer = api.AppendError(append(answer, `{"error":`...), o.Err, requestID)
		} else {
			answer = o.Lead.AppendJSON(append(answer, `{"lead":`...))
			if o.Replayed {
				answer = append(answer, `,"replayed":true`...)
			}
		}
		answer = append(answer, '}')
	}
	return append(answer, "]}"...), nil
}
