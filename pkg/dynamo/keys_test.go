package dynamo_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/test/dynamotest"
)

// TestLateCreateKeyDoesNotRestoreRevokedKey repeats a CreateKey after the key was
// revoked, as an attempt does that arrives late.
func TestLateCreateKeyDoesNotRestoreRevokedKey(t *testing.T) {
	table, _ := dynamotest.New(t)
	_, key := apikey.NewKey(acme, apikey.Read, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := table.RevokeKey(t.Context(), key.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Errorf("a repeated CreateKey: %v", err)
	}
	if stored, err := table.FindKey(t.Context(), key.ID); err != nil || stored.RevokedAt.IsZero() {
		t.Errorf("FindKey = %+v, %v, want a revoked key", stored, err)
	}
}

func TestCreateKeyRejectsDuplicateID(t *testing.T) {
	table, _ := dynamotest.New(t)
	_, key := apikey.NewKey(acme, apikey.Read, time.Now(), time.Time{})
	_, other := apikey.NewKey(acme, apikey.Read|apikey.Write, time.Now(), time.Time{})
	other.ID = key.ID
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := table.CreateKey(t.Context(), other); err == nil {
		t.Error("CreateKey stored two keys with one id")
	}
	if stored, err := table.FindKey(t.Context(), key.ID); err != nil || stored.Hash != key.Hash {
		t.Errorf("FindKey = %+v, %v, want the first key", stored, err)
	}
}

// TestCreateKeySucceedsAfterLostResponse loses the response to the first attempt.
func TestCreateKeySucceedsAfterLostResponse(t *testing.T) {
	table, meter := dynamotest.New(t)
	puts := 0
	meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if operation != "PutItem" || err != nil {
			return resp, err
		}
		if puts++; puts == 4 { // after those of the tenant, a snapshot of the counters and the format
			resp.Body.Close()
			return nil, errors.New("connection reset")
		}
		return resp, nil
	}
	_, key := apikey.NewKey(acme, apikey.Read, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), key); err != nil || puts != 5 {
		t.Errorf("CreateKey: %v after %d puts, want success after 5", err, puts)
	}
}

func TestRevokeKeyKeepsFirstTime(t *testing.T) {
	table, _ := dynamotest.New(t)
	now := time.Now().Truncate(time.Second)
	_, key := apikey.NewKey(acme, apikey.Read, now, time.Time{})
	if err := table.RevokeKey(t.Context(), key.ID, now); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("RevokeKey of an unknown key: %v, want ErrNotFound", err)
	}
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := table.RevokeKey(t.Context(), key.ID, now); err != nil {
			t.Fatal(err)
		}
		stored, err := table.FindKey(t.Context(), key.ID)
		if err != nil || !stored.RevokedAt.Equal(key.CreatedAt) {
			t.Errorf("revoked at %v, want %v (error %v)", stored.RevokedAt, key.CreatedAt, err)
		}
		now = now.Add(time.Hour)
	}
}
