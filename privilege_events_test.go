package leads_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/engine/enginetest"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lead"
)

// TestPrivilegesOfIngestAreThoseUsed takes in records that are new, repeated,
// contradictory and refused, and compares what the function did to the table
// with what template.yaml allows it there. What it may do to queues and files is
// tried by make rehearse, where roles are enforced.
func TestPrivilegesOfIngestAreThoseUsed(t *testing.T) {
	endpoint := enginetest.Start(t)
	if err := openTable(endpoint, nil).CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &observed{}
	in := &ingest.Ingester{
		Tenant: lead.Tenant{Account: "acme", Mode: lead.Live}, Leads: openTable(endpoint, f),
		Queue: nowhere{}, DeadLetters: nowhere{}, Files: nowhere{}, Log: slog.New(slog.DiscardHandler),
	}
	for _, name := range []string{"a", "a", "b", `"`} {
		event := fmt.Sprintf(`{"leads":[{"lead_name":"%s"},{"lead_name":"c"}],"idempotency_key":"k"}`, name)
		if name == `"` {
			event = `{"leads":[{"lead_nam":""}]}`
		}
		if _, err := in.Invoke(t.Context(), []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	allowed := slices.DeleteFunc(allowances(t)["ingest-leads"], func(p privilege) bool {
		return p != onTable && !strings.HasPrefix(string(p), "dynamodb:")
	})
	same(t, "what template.yaml allows", allowed, f.used)
}

// nowhere is a queue that takes all, and files of which there are none.
type nowhere struct{}

func (nowhere) Send(context.Context, []ingest.Message) error { return nil }

func (nowhere) Open(context.Context, ingest.File, int64) (io.ReadCloser, error) {
	return nil, &ingest.GoneError{Err: errors.New("no files")}
}
