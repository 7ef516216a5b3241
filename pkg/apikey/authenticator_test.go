package apikey

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// table is a Store that counts how often it is read.
type table struct {
	mu    sync.Mutex
	keys  map[string]Key
	fault error // returned by every read
	reads int
	pause time.Duration // of every read
}

func (s *table) FindKey(ctx context.Context, id string) (Key, error) {
	s.mu.Lock()
	s.reads++
	key, found := s.keys[id]
	fault := s.fault
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return Key{}, ctx.Err()
	case <-time.After(s.pause):
	}
	if fault != nil {
		return Key{}, fault
	}
	if !found {
		return Key{}, ErrNotFound
	}
	return key, nil
}

func (s *table) put(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key.ID] = key
}

// setup returns a Store with one key, an Authenticator of it and the key's text.
func setup(t *testing.T) (*table, *Authenticator, string, Key) {
	t.Helper()
	text, key := NewKey(acme, Read|Write, time.Now(), time.Time{})
	store := &table{keys: map[string]Key{key.ID: key}}
	return store, NewAuthenticator(store, time.Now), text, key
}

// in runs a test in a bubble whose time passes only while everyone waits.
func in(t *testing.T, outcome string, test func(t *testing.T)) {
	t.Run(outcome, func(t *testing.T) { synctest.Test(t, test) })
}

func TestAuthenticate(t *testing.T) {
	in(t, "a valid key gives its record", func(t *testing.T) {
		_, auth, text, key := setup(t)
		for range 2 { // from the store, from memory
			if got, err := auth.Authenticate(t.Context(), text); got != key || err != nil {
				t.Errorf("Authenticate = %v, %v, want %v", got, err, key)
			}
		}
	})

	in(t, "a malformed key is refused without a read", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		refused(t, auth, text[:len(text)-1]+"_")
		if store.reads != 0 {
			t.Errorf("%d reads", store.reads)
		}
	})

	in(t, "an unknown key is refused", func(t *testing.T) {
		_, auth, _, _ := setup(t)
		text, _ := NewKey(acme, Read, time.Now(), time.Time{})
		refused(t, auth, text)
	})

	in(t, "another secret with a known id is refused", func(t *testing.T) {
		_, auth, text, key := setup(t)
		other, _ := NewKey(acme, Read, time.Now(), time.Time{})
		body := "sk_test_" + key.ID + other[20:52]
		refused(t, auth, body+checksum(body))
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("the right secret is refused afterwards: %v", err)
		}
	})

	in(t, "a record of another mode than the text is refused", func(t *testing.T) {
		store, auth, text, key := setup(t)
		key.Tenant.Mode = lead.Live
		store.put(key)
		refused(t, auth, text)
	})

	in(t, "a key works until it expires, also from memory", func(t *testing.T) {
		store, auth, _, _ := setup(t)
		text, key := NewKey(acme, Read, time.Now(), time.Now().Add(10*time.Second))
		store.put(key)
		time.Sleep(10*time.Second - time.Nanosecond)
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Fatalf("refused before it expires: %v", err)
		}
		time.Sleep(time.Nanosecond)
		refused(t, auth, text)
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
	})

	in(t, "a revoked key is refused, whatever the clock of who revoked it", func(t *testing.T) {
		store, auth, text, key := setup(t)
		key.RevokedAt = time.Now().Add(time.Hour)
		store.put(key)
		refused(t, auth, text)
	})
}

func TestAuthenticatorMemory(t *testing.T) {
	in(t, "a key is read once in CacheAge", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		auth.Authenticate(t.Context(), text)
		time.Sleep(CacheAge - time.Nanosecond)
		auth.Authenticate(t.Context(), text)
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
		time.Sleep(time.Nanosecond)
		auth.Authenticate(t.Context(), text)
		if store.reads != 2 {
			t.Errorf("%d reads after CacheAge, want 2", store.reads)
		}
	})

	in(t, "a revoked key stops working within CacheAge, in use all the time", func(t *testing.T) {
		store, auth, text, key := setup(t)
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		key.RevokedAt = time.Now()
		store.put(key)
		for time.Since(key.RevokedAt) < CacheAge {
			auth.Authenticate(t.Context(), text)
			time.Sleep(time.Second)
		}
		refused(t, auth, text)
	})

	in(t, "a revocation during a slow read is seen CacheAge after the read began", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.pause = 5 * time.Second
		go auth.Authenticate(t.Context(), text)
		synctest.Wait()
		key.RevokedAt = time.Now()
		store.put(key)
		time.Sleep(CacheAge)
		refused(t, auth, text)
	})

	in(t, "the absence of a key is remembered as long", func(t *testing.T) {
		store, auth, _, _ := setup(t)
		text, key := NewKey(acme, Read, time.Now(), time.Time{})
		refused(t, auth, text)
		store.put(key)
		refused(t, auth, text)
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
		time.Sleep(CacheAge)
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("still refused after CacheAge: %v", err)
		}
	})

	in(t, "a failed read is returned as it is and not remembered", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.fault = errors.New("the table does not answer")
		if key, err := auth.Authenticate(t.Context(), text); err != store.fault || key != (Key{}) {
			t.Errorf("Authenticate = %v, %v, want the store's error", key, err)
		}
		store.fault = nil
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("refused when the store works again: %v", err)
		}
	})

	in(t, "a failed read does not prolong what was remembered", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		auth.Authenticate(t.Context(), text)
		time.Sleep(CacheAge)
		store.fault = errors.New("the table does not answer")
		if _, err := auth.Authenticate(t.Context(), text); err != store.fault {
			t.Errorf("got %v, want the store's error", err)
		}
	})

	in(t, "invented keys take bounded memory and do not push out a key in use", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		auth.Authenticate(t.Context(), text)
		for range 3 * cacheSize {
			invented, _ := NewKey(acme, Read, time.Now(), time.Time{})
			refused(t, auth, invented)
			auth.Authenticate(t.Context(), text)
		}
		if len(auth.entries) != cacheSize || auth.used.Len() != cacheSize || len(auth.reads) != 0 {
			t.Errorf("%d entries, %d in order of use, %d reads under way", len(auth.entries), auth.used.Len(), len(auth.reads))
		}
		if want := 1 + 3*cacheSize; store.reads != want {
			t.Errorf("%d reads, want %d", store.reads, want)
		}
	})

	t.Run("a clock that was set back does not prolong what is remembered", func(t *testing.T) {
		store, _, text, _ := setup(t)
		now := noon
		auth := NewAuthenticator(store, func() time.Time { return now })
		auth.Authenticate(t.Context(), text)
		now = noon.Add(-time.Hour)
		auth.Authenticate(t.Context(), text)
		if store.reads != 2 {
			t.Errorf("%d reads, want 2", store.reads)
		}
	})
}

func TestAuthenticatorSharesReads(t *testing.T) {
	in(t, "many who want one key at once read it once", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.pause = time.Second
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if got, err := auth.Authenticate(t.Context(), text); got != key || err != nil {
					t.Errorf("Authenticate = %v, %v", got, err)
				}
			})
		}
		callers.Wait()
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
	})

	in(t, "they share a failure", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.pause, store.fault = time.Second, errors.New("the table does not answer")
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if _, err := auth.Authenticate(t.Context(), text); err != store.fault {
					t.Errorf("got %v, want the store's error", err)
				}
			})
		}
		callers.Wait()
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
	})

	in(t, "one who hangs up does not fail the others", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.pause = time.Minute
		ctx, hangUp := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := auth.Authenticate(ctx, text); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the cancellation", err)
			}
		})
		synctest.Wait()
		for range 10 {
			callers.Go(func() {
				if got, err := auth.Authenticate(t.Context(), text); got != key || err != nil {
					t.Errorf("Authenticate = %v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		hangUp()
		callers.Wait()
	})

	in(t, "one who waits can hang up", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.pause = time.Minute
		go auth.Authenticate(t.Context(), text)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := auth.Authenticate(ctx, text); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the deadline", err)
		}
		time.Sleep(time.Minute)
	})

	in(t, "a panic in the store leaves nobody waiting", func(t *testing.T) {
		_, _, text, _ := setup(t)
		auth := NewAuthenticator(broken{}, time.Now)
		for range 2 {
			func() {
				defer func() { recover() }()
				auth.Authenticate(t.Context(), text)
				t.Error("the panic was swallowed")
			}()
		}
	})
}

type broken struct{}

func (broken) FindKey(context.Context, string) (Key, error) { panic("broken") }

func refused(t *testing.T, auth *Authenticator, text string) {
	t.Helper()
	if key, err := auth.Authenticate(t.Context(), text); err != ErrInvalid || key != (Key{}) {
		t.Errorf("Authenticate = %v, %v, want ErrInvalid", key, err)
	}
}
