package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// kind is a kind of event.
type kind string

const (
	sqsMessage       kind = "SQS message"
	snsNotification  kind = "SNS notification"
	eventBridgeEvent kind = "EventBridge event"
	s3File           kind = "CSV file in S3"
	directCall       kind = "direct call of the function"
)

// change is an event that the product publishes.
type change struct {
	Type   string `json:"detail-type"`
	Detail struct {
		EventID string `json:"event_id"`
		Lead    struct {
			Name string `json:"lead_name"`
		} `json:"lead"`
	} `json:"detail"`
}

// rejected is a record in the dead-letter queue.
type rejected struct{ body, origin, code, reason string }

// eventTenant owns the leads of events: these are the defaults of template.yaml.
var eventTenant = lead.Tenant{Account: "main", Mode: lead.Test}

// eventTimeout is how long the results of all events may take.
const eventTimeout = 2 * time.Minute

// Two records are invalid: the lead of Eli and the lead of Ira.
var sent = []struct {
	kind kind
	text string
}{
	{sqsMessage, `{"lead_name":"Ada by SQS","email_id":"ada@example.com"}`},
	{snsNotification, `{"lead_name":"Bob by SNS"}`},
	{eventBridgeEvent, `{"lead_name":"Cy by EventBridge"}`},
	{s3File, "lead_name,annual_revenue\n\"Dora, by S3\",1200.50\nEli by S3,a lot\nFay by S3,\n"},
	{directCall, `{"leads":[{"lead_name":"Gus by a call"},{"lead_name":"Hal by a call"}]}`},
	{sqsMessage, `{"lead_name":"Ira","email_id":"no address"}`},
}

var (
	wantLeads    = []string{"Ada by SQS", "Bob by SNS", "Cy by EventBridge", "Dora, by S3", "Fay by S3", "Gus by a call", "Hal by a call"}
	wantRejected = []string{"Eli", "Ira"}
)

// sendEvents sends all events, prints what comes out, and returns an error when
// it is not what is expected. The table must hold no lead of eventTenant.
func sendEvents(ctx context.Context, s *stack, table *dynamo.Table) error {
	ctx, cancel := context.WithTimeoutCause(ctx, eventTimeout, fmt.Errorf("timed out after %v", eventTimeout))
	defer cancel()
	for _, e := range sent {
		fmt.Printf("Send: %s\n   %s\n", e.kind, strings.ReplaceAll(strings.TrimSpace(e.text), "\n", "\n   "))
		answer, err := s.send(ctx, e.kind, e.text)
		if err != nil {
			return fmt.Errorf("%s: %w", e.kind, err)
		}
		if answer != "" {
			fmt.Printf("   answer: %.120s...\n", answer)
		}
	}
	return errors.Join(checkLeads(ctx, table), checkChanges(ctx, s), checkRejected(ctx, s))
}

func checkLeads(ctx context.Context, table *dynamo.Table) error {
	fmt.Println("\nLeads:")
	var names []string
	err := poll(ctx, func() (bool, error) {
		names = nil
		for l, err := range table.All(ctx, eventTenant) {
			if err != nil {
				return false, err
			}
			names = append(names, fmt.Sprint(l.Values[0]))
		}
		return len(names) >= len(wantLeads), nil
	})
	slices.Sort(names)
	for _, name := range names {
		fmt.Println("  ", name)
	}
	if err != nil || !slices.Equal(names, wantLeads) {
		return errors.Join(err, fmt.Errorf("the leads are %q, want %q", names, wantLeads))
	}
	return nil
}

func checkChanges(ctx context.Context, s *stack) error {
	fmt.Println("\nPublished changes:")
	names := map[string]string{} // by event id, which drops repeated events
	err := poll(ctx, func() (bool, error) {
		changes, err := s.receiveChanges(ctx)
		for _, c := range changes {
			if _, seen := names[c.Detail.EventID]; !seen {
				fmt.Println("  ", c.Type, c.Detail.Lead.Name)
			}
			names[c.Detail.EventID] = c.Detail.Lead.Name
		}
		return len(names) >= len(wantLeads), err
	})
	var got []string
	for _, name := range names {
		got = append(got, name)
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, wantLeads) {
		return errors.Join(err, fmt.Errorf("changes of the leads %q were published, want %q", got, wantLeads))
	}
	return nil
}

func checkRejected(ctx context.Context, s *stack) error {
	fmt.Println("\nRejected records in the dead-letter queue:")
	var records []rejected
	err := poll(ctx, func() (bool, error) {
		more, err := s.receiveRejected(ctx)
		records = append(records, more...)
		return len(records) >= len(wantRejected), err
	})
	if err == nil { // Look once more for records that must not be there.
		var more []rejected
		more, err = s.receiveRejected(ctx)
		records = append(records, more...)
	}
	slices.SortFunc(records, func(a, b rejected) int { return strings.Compare(a.body, b.body) })
	for i, r := range records {
		fmt.Printf("   %s\n      from %s\n      %s: %s\n", r.body, r.origin, r.code, r.reason)
		if i >= len(wantRejected) || !strings.Contains(r.body, wantRejected[i]) || r.reason == "" {
			err = errors.Join(err, fmt.Errorf("rejected record %+v is not expected", r))
		}
	}
	if len(records) != len(wantRejected) {
		err = errors.Join(err, fmt.Errorf("%d records were rejected, want %d", len(records), len(wantRejected)))
	}
	return err
}

// poll calls done until it returns true or an error, or ctx is done.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
