package lambdahttp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// keys is a store of keys that has none and counts who asks. With wait, it never
// answers.
type keys struct {
	asked int
	wait  bool
}

func (k *keys) KeyRing(ctx context.Context) ([]apikey.Key, error) {
	k.asked++
	if k.wait {
		<-ctx.Done()
	}
	return nil, ctx.Err()
}

func (k *keys) FindKey(context.Context, string) (apikey.Key, error) {
	k.asked++
	return apikey.Key{}, apikey.ErrNotFound
}

// untouched is a store of leads that fails when it is used.
type untouched struct{ lead.Store }

func TestPrimeReadsTheTableOnceAndLeavesNoTrace(t *testing.T) {
	for _, route := range api.Routes() {
		t.Run(route.Name, func(t *testing.T) {
			var log bytes.Buffer
			k := &keys{}
			a := api.New(api.Config{Leads: untouched{}, Keys: k, Log: slog.New(slog.NewJSONHandler(&log, nil))})
			prime(New(a.Handler(route), route), route)
			if k.asked != 1 {
				t.Errorf("asked for a key %d times, want once", k.asked)
			}
			if strings.TrimSpace(log.String()) != "" {
				t.Errorf("logged %s", &log)
			}
		})
	}
}

func TestPrimeGivesUpOnADatabaseThatIsSilent(t *testing.T) {
	k := &keys{wait: true}
	a := api.New(api.Config{Leads: untouched{}, Keys: k})
	done := make(chan struct{})
	go func() {
		defer close(done)
		prime(New(a.Handler(api.RetrieveLead), api.RetrieveLead), api.RetrieveLead)
	}()
	select {
	case <-done:
	case <-time.After(8 * time.Second): // Lambda's own limit is 10
		t.Error("the start still waits for the database")
	}
}

func TestPrimedFunctionNeedNotReadTheKey(t *testing.T) {
	table, meter := dynamotest.New(t)
	text, key := apikey.NewKey(lead.Tenant{Account: "acme", Mode: lead.Test}, apikey.Read, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	made, _, err := table.Create(t.Context(), key.Tenant, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	f := New(api.New(api.Config{Leads: table, Keys: table}).Handler(api.RetrieveLead), api.RetrieveLead)
	prime(f, api.RetrieveLead)
	meter.Reset()
	answer, err := f.Invoke(t.Context(), fmt.Appendf(nil,
		`{"version":"2.0","rawPath":"/api/crm/lead/%s","headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":"GET"}}}`, made.ID, text))
	if requests, _, _ := meter.Cost(); err != nil || !bytes.Contains(answer, []byte(`"statusCode":200`)) || requests != 1 {
		t.Errorf("the first request is answered %s, %v after %v, want 200 after one read", answer, err, meter.Requests())
	}
}
