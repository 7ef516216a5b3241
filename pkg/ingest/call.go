package ingest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
)

// call is a direct call of the function with many leads.
type call struct {
	leads []json.RawMessage
	key   *string // nil if the caller sent none
}

// maxCallLeads is how many leads a call may have. Their results fit into the
// 6 MB of a Lambda answer, and all are created within the function's timeout.
const maxCallLeads = 100

func parseCall(members map[string]json.RawMessage) (event, error) {
	var c call
	for name, value := range members {
		var err error
		switch name {
		case "leads":
			err = json.Unmarshal(value, &c.leads)
		case keyName:
			err = json.Unmarshal(value, &c.key)
		default:
			err = fmt.Errorf("unknown member %q", name)
		}
		if err != nil {
			return nil, errUnexpected("a call has only leads, a list, and idempotency_key, a string")
		}
	}
	if c.leads == nil || len(c.leads) > maxCallLeads {
		return nil, lead.ValidationError{{
			Param: "leads", Code: lead.ParameterInvalid,
			Message: fmt.Sprintf("Send a list of at most %d leads; for more, send them to the queue or upload a file.", maxCallLeads),
		}}
	}
	if c.key != nil {
		return &c, validateKey(*c.key)
	}
	return &c, nil
}

func (*call) kind() string { return "call" }

// handle answers with one result for each lead, in their order: the lead, or the
// error that the API would answer. If any lead failed with a transient error,
// the whole call fails; the same call with the same key creates no lead twice.
func (c *call) handle(ctx context.Context, v *invocation) ([]byte, error) {
	requestID := rand.Text()
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		requestID = lc.AwsRequestID // the same when Lambda itself retries
	}
	key := "request/" + requestID
	if c.key != nil {
		key = "key/" + *c.key
	}
	var records []record
	for i, body := range c.leads {
		position := "/" + strconv.Itoa(i)
		r := newRecord("call", requestID+position, fmt.Sprintf("call %s, lead %d", requestID, i), body)
		r.key.Key = key + position
		if c.key != nil && lead.ValidIdempotencyKey(*c.key+position) {
			r.senderKey = *c.key + position
		}
		records = append(records, r)
	}
	results := v.createLeads(ctx, records)
	if err := checkRetry(results); err != nil {
		return nil, err
	}
	var members [][]byte
	for _, result := range results {
		format, value := `{"lead":%s}`, result.Lead.AppendJSON(nil)
		if result.Err != nil {
			format, value = `{"error":%s}`, api.ErrorJSON(result.Err, requestID)
		} else if result.Replayed {
			format = `{"lead":%s,"replayed":true}`
		}
		members = append(members, fmt.Appendf(nil, format, value))
	}
	return fmt.Appendf(nil, `{"results":[%s]}`, bytes.Join(members, []byte(","))), nil
}
