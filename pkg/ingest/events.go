package ingest

import (
	"crypto/rand"
	"strconv"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
)

// event is an event of EventBridge, whose detail is the lead, see
// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
type event struct {
	ID     string         `json:"id"`
	Source string         `json:"source"`
	Type   string         `json:"detail-type"`
	Detail jsontext.Value `json:"detail"`
}

func (event) kind() string { return "eventbridge" }

func (e event) handle(d *delivery) ([]byte, error) {
	return nil, done(d.admit([]record{{
		body:   e.Detail,
		once:   lead.Once{Source: "eventbridge", Key: e.ID, Keep: Keep},
		id:     e.ID,
		origin: "EventBridge event " + e.ID,
	}}))
}

// notifications are those of SNS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html.
type notifications []struct {
	SNS struct {
		ID         string         `json:"MessageId"`
		Topic      string         `json:"TopicArn"`
		Message    jsontext.Value `json:"Message"`
		Attributes attributes     `json:"MessageAttributes"`
	} `json:"Sns"`
}

func (notifications) kind() string { return "sns" }

func (all notifications) check() error {
	for _, n := range all {
		if n.SNS.ID == "" || n.SNS.Message.Kind() != '"' {
			return unexpected("a notification has no MessageId or no text as its Message")
		}
	}
	return nil
}

func (all notifications) handle(d *delivery) ([]byte, error) {
	var records []record
	for _, n := range all {
		r := record{body: text(n.SNS.Message), id: n.SNS.ID, origin: "SNS message " + n.SNS.ID + " of " + n.SNS.Topic}
		r.once, r.err = named("sns", n.SNS.ID, n.SNS.Attributes)
		records = append(records, r)
	}
	return nil, done(d.admit(records))
}

// call is a call by someone who has many leads at hand.
type call struct {
	Leads []jsontext.Value `json:"leads"`
	Key   *string          `json:"idempotency_key"`
}

func (call) kind() string { return "call" }

// maxCall is how many leads a call may have. Their results are well within the
// 6 MB that Lambda's answer may have, and their making within its time.
const maxCall = 100

func (c *call) check() error {
	switch {
	case c.Leads == nil || len(c.Leads) > maxCall:
		return lead.Invalid{{Param: "leads", Code: lead.ParameterInvalid, Message: "Send a list of at most " + strconv.Itoa(maxCall) + " leads; for more, send them to the queue or upload a file."}}
	case c.Key != nil:
		return checkKey(*c.Key)
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
	if c.Key != nil {
		name = "key/" + *c.Key
	}
	var records []record
	for i, l := range c.Leads {
		place := "/" + strconv.Itoa(i)
		records = append(records, record{
			body:   l,
			once:   lead.Once{Source: "call", Key: name + place, Keep: Keep},
			id:     requestID + place,
			origin: "call " + requestID + ", lead " + strconv.Itoa(i),
		})
	}
	outcomes := d.admit(records)
	if err := done(outcomes); err != nil {
		return nil, err
	}
	type result struct {
		Lead     jsontext.Value `json:"lead,omitzero"`
		Replayed bool           `json:"replayed,omitzero"`
		Error    jsontext.Value `json:"error,omitzero"`
	}
	results := []result{}
	for _, o := range outcomes {
		if o.Err != nil {
			results = append(results, result{Error: api.AppendError(nil, o.Err, requestID)})
		} else {
			results = append(results, result{Lead: o.Lead.AppendJSON(nil), Replayed: o.Replayed})
		}
	}
	return json.Marshal(struct {
		Results []result `json:"results"`
	}{results})
}
