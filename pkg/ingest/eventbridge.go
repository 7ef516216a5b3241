package ingest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// eventBridgeEvent is an event of EventBridge. Its detail is the lead, see
// https://docs.aws.amazon.com/eventbridge/latest/ref/overview-event-structure.html.
type eventBridgeEvent events.EventBridgeEvent

func parseEventBridge(payload []byte) (event, error) {
	var e eventBridgeEvent
	if err := json.Unmarshal(payload, &e); err != nil || e.ID == "" {
		return nil, errUnexpected("it is not an event as EventBridge sends it: its id is not a string, or another member is not as documented")
	}
	// Only AWS may use a source that begins with "aws.". The detail of a scheduled
	// event is {}, which would be a lead.
	if strings.HasPrefix(e.Source, "aws.") {
		return nil, errUnexpected("it is an event of an AWS service, %.60q of %.60q, and not a lead", e.DetailType, e.Source)
	}
	return e, nil
}

func (eventBridgeEvent) kind() string { return "eventbridge" }

func (e eventBridgeEvent) handle(ctx context.Context, v *invocation) ([]byte, error) {
	r := newRecord("eventbridge", e.ID, "EventBridge event "+e.ID, e.Detail)
	r.key.Key = e.ID
	return nil, checkRetry(v.createLeads(ctx, []record{r}))
}
