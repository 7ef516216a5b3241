package dynamo_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// fullRing is how many keys a ring holds.
const fullRing = 20

var longest = lead.Tenant{Account: strings.Repeat("a", 32), Mode: lead.Live}

// mint stores a new key.
func mint(t *testing.T, table *dynamo.Table) apikey.Key {
	t.Helper()
	_, key := apikey.NewKey(longest, apikey.Read|apikey.Write, time.Unix(1700000000, 0).UTC(), time.Unix(1800000000, 0).UTC())
	if err := table.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return key
}

func revoke(t *testing.T, table *dynamo.Table, key apikey.Key) {
	t.Helper()
	if err := table.RevokeKey(t.Context(), key.ID, time.Unix(1750000000, 0)); err != nil {
		t.Fatal(err)
	}
	if k, err := table.FindKey(t.Context(), key.ID); err != nil || k.RevokedAt.IsZero() {
		t.Fatalf("the revoked key is %+v, %v", k, err)
	}
}

// holds fails the test unless the ring holds just these keys, as they are stored.
func holds(t *testing.T, table *dynamo.Table, want ...apikey.Key) {
	t.Helper()
	got, err := table.KeyRing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byID := func(keys []apikey.Key) []string {
		ids := map[string]bool{}
		for _, k := range keys {
			ids[k.ID] = true
		}
		return slices.Sorted(maps.Keys(ids))
	}
	if !slices.Equal(byID(got), byID(want)) || len(got) != len(want) {
		t.Fatalf("the ring holds %v, want %v", byID(got), byID(want))
	}
	for _, k := range got {
		if stored, err := table.FindKey(t.Context(), k.ID); err != nil || k != stored {
			t.Errorf("the ring holds %+v, stored is %+v, %v", k, stored, err)
		}
	}
}

func TestKeyRing(t *testing.T) {
	t.Run("holds the keys that are not revoked", func(t *testing.T) {
		table, _ := dynamotest.New(t)
		holds(t, table)
		one, two := mint(t, table), mint(t, table)
		holds(t, table, one, two)
		revoke(t, table, one)
		holds(t, table, two)
		revoke(t, table, one) // again
		revoke(t, table, two)
		holds(t, table)
		if err := table.RevokeKey(t.Context(), "0123456789ab", time.Now()); err != apikey.ErrNotFound {
			t.Errorf("revoking a key that there is not: %v", err)
		}
	})
	t.Run("holds as many as one unit reads, and takes others when there is room", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		var in []apikey.Key
		for range fullRing {
			in = append(in, mint(t, table))
		}
		out := mint(t, table)
		holds(t, table, in...)
		cost{1, 1, 0}.expect(t, meter, "a full ring", func() error {
			_, err := table.KeyRing(t.Context())
			return err
		})
		revoke(t, table, out)
		holds(t, table, in...)
		revoke(t, table, in[0])
		holds(t, table, append(in[1:], mint(t, table))...)
	})
	t.Run("counts a key once whose first answer was lost", func(t *testing.T) {
		table, meter := dynamotest.New(t)
		meter.Fault = losing()
		var in []apikey.Key
		for range fullRing / 2 {
			k := mint(t, table)
			revoke(t, table, k)
			in = append(in, mint(t, table))
		}
		meter.Fault = nil
		for range fullRing/2 + 1 {
			in = append(in, mint(t, table))
		}
		holds(t, table, in[:fullRing]...)
	})
}
