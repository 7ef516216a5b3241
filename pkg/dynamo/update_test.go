package dynamo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// updateFixture has one lead, a database with a clock, and processes whose clocks
// differ from it.
type updateFixture struct {
	meter *dynamotest.Meter
	now   time.Time // of the database
	lead  lead.ID
	start func(skew time.Duration) *dynamo.Table
}

func newUpdateFixture(t *testing.T) *updateFixture {
	t.Helper()
	client, meter := dynamotest.Start(t)
	f := &updateFixture{meter: meter, now: time.Date(2026, 3, 1, 12, 0, 14, 0, time.UTC)}
	meter.Now = func() time.Time { return f.now }
	f.start = func(skew time.Duration) *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now = func() time.Time { return f.now.Add(skew) }
		return table
	}
	created, _, err := f.start(0).Create(t.Context(), loading, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	f.lead = created.ID
	return f
}

// update sets the city of the lead.
func (f *updateFixture) update(ctx context.Context, t *testing.T, table *dynamo.Table, city string) (lead.Lead, error) {
	t.Helper()
	changes, err := lead.ParseChanges([]byte(`{"city":"` + city + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	return table.Update(ctx, loading, f.lead, changes, lead.Precondition{})
}

func (f *updateFixture) mustUpdate(t *testing.T, table *dynamo.Table, city string) lead.Lead {
	t.Helper()
	l, err := f.update(t.Context(), t, table, city)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *updateFixture) wantCity(t *testing.T, want string) {
	t.Helper()
	l, err := f.start(0).Retrieve(t.Context(), loading, f.lead)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := lead.ParseChanges([]byte(`{"city":""}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Values[changes[0].Field]; got != want {
		t.Errorf("the city is %v, want %s", got, want)
	}
}

// TestUpdateThatTheNetworkHeldBack sends an update, whose response is lost, a
// second time long after other updates. The signature is still valid then.
func TestUpdateThatTheNetworkHeldBack(t *testing.T) {
	for _, delay := range []time.Duration{20 * time.Second, 40 * time.Second, 80 * time.Second, 10 * time.Minute} {
		f := newUpdateFixture(t)
		var sendAgain func() int // returns the status
		ctx, cancel := context.WithCancel(t.Context())
		f.meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if operation != "UpdateItem" || sendAgain != nil {
				return next.RoundTrip(r)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			send := func() (*http.Response, error) {
				again := r.Clone(t.Context())
				again.Body = io.NopCloser(bytes.NewReader(body))
				return next.RoundTrip(again)
			}
			sendAgain = func() int {
				resp, err := send()
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp.StatusCode
			}
			sendAgain()
			cancel() // the client waits no longer
			return nil, io.EOF
		}
		if l, err := f.update(ctx, t, f.start(0), "first"); err == nil {
			t.Fatalf("the update without a response succeeded: %v", l)
		}
		others := f.start(0)
		for f.now = f.now.Add(delay / 2); ; f.now = f.now.Add(delay / 4) {
			f.mustUpdate(t, others, "other")
			if f.now.Sub(time.Date(2026, 3, 1, 12, 0, 14, 0, time.UTC)) >= delay {
				break
			}
		}
		if status := sendAgain(); status != http.StatusBadRequest {
			t.Errorf("after %v the attempt got %d, want 400", delay, status)
		}
		f.wantCity(t, "other")
	}
}

// TestUpdateBesideAWrongClock has another process update the lead after the first
// attempt, whose response is lost. Its clock is wrong, and it has had no answer that
// corrects it.
func TestUpdateBesideAWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{
		-14 * time.Minute, -75 * time.Second, -40 * time.Second, -20 * time.Second, 0,
		20 * time.Second, 35 * time.Second, 75 * time.Second, 14 * time.Minute, time.Hour,
	} {
		f := newUpdateFixture(t)
		attempts := 0
		f.meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if operation != "UpdateItem" {
				return next.RoundTrip(r)
			}
			attempts++
			first := attempts == 1
			resp, err := next.RoundTrip(r)
			if !first || err != nil {
				return resp, err
			}
			resp.Body.Close()
			f.mustUpdate(t, f.start(skew), "other")
			return nil, io.EOF
		}
		var unavailable *lead.UnavailableError
		if _, err := f.update(t.Context(), t, f.start(0), "first"); err != nil && !errors.As(err, &unavailable) {
			t.Errorf("with a clock that is wrong by %v: %v", skew, err)
		}
		f.meter.Fault = nil
		f.wantCity(t, "other")

		// The wrong clock does not stop later updates, and updated_at does not go back.
		before, err := f.start(0).Retrieve(t.Context(), loading, f.lead)
		if err != nil {
			t.Fatal(err)
		}
		after := f.mustUpdate(t, f.start(0), "later")
		if after.UpdatedAt.Before(before.UpdatedAt.Add(-10 * time.Second)) {
			t.Errorf("updated_at goes from %v back to %v", before.UpdatedAt, after.UpdatedAt)
		}
		f.wantCity(t, "later")
	}
}
