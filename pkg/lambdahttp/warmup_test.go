package lambdahttp

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// keys is a store of keys that has none and counts who asks. With wait, it never
// answers.
type keys struct {
	asked int
	wait  bool
}

func (k *keys) FindKey(ctx context.Context, _ string) (apikey.Key, error) {
	k.asked++
	if k.wait {
		<-ctx.Done()
		return apikey.Key{}, ctx.Err()
	}
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
