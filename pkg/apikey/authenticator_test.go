package apikey

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// fakeStore is a Store that counts how often it is read.
type fakeStore struct {
	mu    sync.Mutex
	keys  map[string]Key
	err   error // returned by every read
	reads int
	delay time.Duration // of every read
}

func (s *fakeStore) FindKey(ctx context.Context, id string) (Key, error) {
	s.mu.Lock()
	s.reads++
	key, found := s.keys[id]
	err := s.err
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return Key{}, ctx.Err()
	case <-time.After(s.delay):
	}
	if err != nil {
		return Key{}, err
	}
	if !found {
		return Key{}, ErrNotFound
	}
	return key, nil
}

func (s *fakeStore) put(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key.ID] = key
}

// setup returns a Store with one key, an Authenticator of it and the key's text.
func setup(t *testing.T) (*fakeStore, *Authenticator, string, Key) {
	t.Helper()
	text, key := NewKey(acme, Read|Write, time.Now(), time.Time{})
	store := &fakeStore{keys: map[string]Key{key.ID: key}}
	return store, NewAuthenticator(store, time.Now), text, key
}

// runWithFakeTime runs a subtest in which time passes only while all goroutines
// wait.
func runWithFakeTime(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestAuthenticate(t *testing.T) {
	runWithFakeTime(t, "a valid key gives its record", func(t *testing.T) {
		_, auth, text, key := setup(t)
		for range 2 { // from the store, then from the cache
			if got, err := auth.Authenticate(t.Context(), text); got != key || err != nil {
				t.Errorf("Authenticate = %v, %v, want %v", got, err, key)
			}
		}
	})

	runWithFakeTime(t, "a malformed key is invalid and not looked up", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		wantInvalid(t, auth, text[:len(text)-1]+"_")
		if store.reads != 0 {
			t.Errorf("%d reads", store.reads)
		}
	})

	runWithFakeTime(t, "an unknown key is invalid", func(t *testing.T) {
		_, auth, _, _ := setup(t)
		text, _ := NewKey(acme, Read, time.Now(), time.Time{})
		wantInvalid(t, auth, text)
	})

	runWithFakeTime(t, "another secret with a known id is invalid", func(t *testing.T) {
		_, auth, text, key := setup(t)
		other, _ := NewKey(acme, Read, time.Now(), time.Time{})
		body := "sk_test_" + key.ID + other[20:52]
		wantInvalid(t, auth, body+checksum(body))
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("the right secret is invalid afterwards: %v", err)
		}
	})

	runWithFakeTime(t, "a key stored with another mode is invalid", func(t *testing.T) {
		store, auth, text, key := setup(t)
		key.Tenant.Mode = lead.Live
		store.put(key)
		wantInvalid(t, auth, text)
	})

	runWithFakeTime(t, "a key works until it expires, even if it is cached", func(t *testing.T) {
		store, auth, _, _ := setup(t)
		text, key := NewKey(acme, Read, time.Now(), time.Now().Add(10*time.Second))
		store.put(key)
		time.Sleep(10*time.Second - time.Nanosecond)
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Fatalf("invalid before it expires: %v", err)
		}
		time.Sleep(time.Nanosecond)
		wantInvalid(t, auth, text)
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
	})

	runWithFakeTime(t, "a revoked key is invalid, even if its time of revocation is in the future", func(t *testing.T) {
		store, auth, text, key := setup(t)
		key.RevokedAt = time.Now().Add(time.Hour)
		store.put(key)
		wantInvalid(t, auth, text)
	})
}

func TestAuthenticatorCache(t *testing.T) {
	runWithFakeTime(t, "a key is read once per CacheAge", func(t *testing.T) {
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

	runWithFakeTime(t, "a revoked key stops working within CacheAge even if it is used all the time", func(t *testing.T) {
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
		wantInvalid(t, auth, text)
	})

	runWithFakeTime(t, "a revocation during a slow read takes effect CacheAge after the read began", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.delay = 5 * time.Second
		go auth.Authenticate(t.Context(), text)
		synctest.Wait()
		key.RevokedAt = time.Now()
		store.put(key)
		time.Sleep(CacheAge)
		wantInvalid(t, auth, text)
	})

	runWithFakeTime(t, "the absence of a key is cached as long", func(t *testing.T) {
		store, auth, _, _ := setup(t)
		text, key := NewKey(acme, Read, time.Now(), time.Time{})
		wantInvalid(t, auth, text)
		store.put(key)
		wantInvalid(t, auth, text)
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
		time.Sleep(CacheAge)
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("still invalid after CacheAge: %v", err)
		}
	})

	runWithFakeTime(t, "an error of the store is returned as it is and not cached", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.err = errors.New("the table does not answer")
		if key, err := auth.Authenticate(t.Context(), text); err != store.err || key != (Key{}) {
			t.Errorf("Authenticate = %v, %v, want the store's error", key, err)
		}
		store.err = nil
		if _, err := auth.Authenticate(t.Context(), text); err != nil {
			t.Errorf("invalid when the store works again: %v", err)
		}
	})

	runWithFakeTime(t, "an error of the store does not extend the life of a cached key", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		auth.Authenticate(t.Context(), text)
		time.Sleep(CacheAge)
		store.err = errors.New("the table does not answer")
		if _, err := auth.Authenticate(t.Context(), text); err != store.err {
			t.Errorf("got %v, want the store's error", err)
		}
	})

	runWithFakeTime(t, "invented keys use limited memory and do not evict a key in use", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		auth.Authenticate(t.Context(), text)
		for range 3 * cacheSize {
			invented, _ := NewKey(acme, Read, time.Now(), time.Time{})
			wantInvalid(t, auth, invented)
			auth.Authenticate(t.Context(), text)
		}
		if n := auth.cache.Len(); n != cacheSize {
			t.Errorf("%d cached keys, want %d", n, cacheSize)
		}
		if want := 1 + 3*cacheSize; store.reads != want {
			t.Errorf("%d reads, want %d", store.reads, want)
		}
	})

	t.Run("a clock that is set back does not extend the life of a cached key", func(t *testing.T) {
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
	runWithFakeTime(t, "concurrent requests with one key read it once", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.delay = time.Second
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

	runWithFakeTime(t, "concurrent requests share an error", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.delay, store.err = time.Second, errors.New("the table does not answer")
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if _, err := auth.Authenticate(t.Context(), text); err != store.err {
					t.Errorf("got %v, want the store's error", err)
				}
			})
		}
		callers.Wait()
		if store.reads != 1 {
			t.Errorf("%d reads, want 1", store.reads)
		}
	})

	runWithFakeTime(t, "a cancelled request does not make the others fail", func(t *testing.T) {
		store, auth, text, key := setup(t)
		store.delay = readTimeout - time.Second
		ctx, cancel := context.WithCancel(t.Context())
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
		cancel()
		callers.Wait()
	})

	runWithFakeTime(t, "a waiting request can be cancelled", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.delay = readTimeout - time.Second
		go auth.Authenticate(t.Context(), text)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := auth.Authenticate(ctx, text); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the exceeded deadline", err)
		}
		time.Sleep(store.delay)
	})

	runWithFakeTime(t, "a read ends when the store does not answer", func(t *testing.T) {
		store, auth, text, _ := setup(t)
		store.delay = time.Hour
		if _, err := auth.Authenticate(t.Context(), text); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the exceeded deadline", err)
		}
	})

	runWithFakeTime(t, "a panic in the store becomes an error with a stack trace", func(t *testing.T) {
		_, _, text, _ := setup(t)
		auth := NewAuthenticator(panickingStore{}, time.Now)
		for range 2 {
			_, err := auth.Authenticate(t.Context(), text)
			if err == nil || !strings.Contains(err.Error(), "broken store") || !strings.Contains(err.Error(), "authenticator_test.go") {
				t.Errorf("got %v, want the panic and its stack trace", err)
			}
		}
	})
}

type panickingStore struct{}

func (panickingStore) FindKey(context.Context, string) (Key, error) { panic("broken store") }

func wantInvalid(t *testing.T, auth *Authenticator, text string) {
	t.Helper()
	if key, err := auth.Authenticate(t.Context(), text); err != ErrInvalid || key != (Key{}) {
		t.Errorf("Authenticate = %v, %v, want ErrInvalid", key, err)
	}
}
