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

// noKeys is an empty store of keys that counts its calls. With block, a call
// returns only when its context ends.
type noKeys struct {
	calls int
	block bool
}

func (k *noKeys) FindKey(ctx context.Context, _ string) (apikey.Key, error) {
	k.calls++
	if k.block {
		<-ctx.Done()
		return apikey.Key{}, ctx.Err()
	}
	return apikey.Key{}, apikey.ErrNotFound
}

// unusedStore is a store of leads that panics when it is used.
type unusedStore struct{ lead.Store }

func TestWarmUpReadsTheTableOnceAndLogsNothing(t *testing.T) {
	for _, route := range api.Routes() {
		t.Run(route.Name, func(t *testing.T) {
			var log bytes.Buffer
			k := &noKeys{}
			a := api.New(api.Config{Leads: unusedStore{}, Keys: k, Log: slog.New(slog.NewJSONHandler(&log, nil))})
			warmUp(New(a.Handler(route), route), route)
			if k.calls != 1 {
				t.Errorf("it read %d keys, want 1", k.calls)
			}
			if strings.TrimSpace(log.String()) != "" {
				t.Errorf("it logged %s", &log)
			}
		})
	}
}

func TestWarmUpEndsWhenTheDatabaseDoesNotAnswer(t *testing.T) {
	k := &noKeys{block: true}
	a := api.New(api.Config{Leads: unusedStore{}, Keys: k})
	done := make(chan struct{})
	go func() {
		defer close(done)
		warmUp(New(a.Handler(api.RetrieveLead), api.RetrieveLead), api.RetrieveLead)
	}()
	select {
	case <-done:
	case <-time.After(8 * time.Second): // Lambda's own limit is 10
		t.Error("the warm-up request has not ended after 8 seconds")
	}
}
