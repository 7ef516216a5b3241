package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"overplane.dev/leads/pkg/lead"
)

// A Store stores keys.
type Store interface {
	// FindKey returns the key with the id, or ErrNotFound. The read must be
	// consistent: it must see every revocation that was acknowledged before
	// the call. Any other error means that it is not known whether the key
	// exists.
	FindKey(ctx context.Context, id string) (Key, error)
}

const (
	// CacheAge is how long an Authenticator uses a key after reading it from
	// its Store. So a revoked key stops working after at most CacheAge and the
	// duration of one request. The API promises 30 seconds.
	CacheAge = 20 * time.Second

	// cacheSize limits the memory that requests with invented keys can use to
	// less than a megabyte.
	cacheSize = 2048

	// readTimeout limits a read of the Store, also when nobody waits for it.
	readTimeout = 10 * time.Second
)

// An Authenticator finds the API key that a client sent. It caches what it reads
// for CacheAge, including that a key does not exist. It is safe for concurrent
// use.
type Authenticator struct {
	store Store
	now   func() time.Time
	cache *lru.Cache[string, entry] // by key id
	reads singleflight.Group        // by key id
}

// entry is the result of a read.
type entry struct {
	key    Key // the zero Key if there is none
	readAt time.Time
}

// NewAuthenticator returns an Authenticator for the keys in store. It calls now
// for the current time.
func NewAuthenticator(store Store, now func() time.Time) *Authenticator {
	cache, err := lru.New[string, entry](cacheSize)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Authenticator{store: store, now: now, cache: cache}
}

// Authenticate returns the key with this text, or ErrInvalid if there is no such
// key or it is not valid now. Any other error is from the store or from ctx. It
// means that it is not known whether the key is valid, so the request must not
// be allowed.
func (a *Authenticator) Authenticate(ctx context.Context, text string) (Key, error) {
	id, mode, ok := Parse(text)
	if !ok {
		return Key{}, ErrInvalid
	}
	key, err := a.findKey(ctx, id)
	if err != nil {
		return Key{}, err
	}
	if !a.isValid(key, text, mode) {
		return Key{}, ErrInvalid
	}
	return key, nil
}

// isValid reports whether key has this text and is valid now. For an unknown key
// it does the same work with the zero Key, whose hash no text has, so that the
// duration reveals nothing.
func (a *Authenticator) isValid(key Key, text string, mode lead.Mode) bool {
	hash := sha256.Sum256([]byte(text))
	sameHash := subtle.ConstantTimeCompare(hash[:], key.Hash[:]) == 1
	expired := !key.ExpiresAt.IsZero() && !a.now().Before(key.ExpiresAt)
	// RevokedAt is not compared with the current time: if the clock of the
	// computer that revoked the key is fast, the key must still stop working.
	revoked := !key.RevokedAt.IsZero()
	return sameHash && key.Tenant.Mode == mode && !expired && !revoked
}

// findKey returns the key with the id from the cache or the store, or the zero
// Key if there is none. Concurrent calls for the same key share one read, which
// does not end when one of them is cancelled.
func (a *Authenticator) findKey(ctx context.Context, id string) (Key, error) {
	if e, ok := a.cache.Get(id); ok && isFresh(e.readAt, a.now()) {
		return e.key, nil
	}
	read := a.reads.DoChan(id, func() (any, error) { return a.readKey(context.WithoutCancel(ctx), id) })
	select {
	case <-ctx.Done():
		return Key{}, ctx.Err()
	case result := <-read:
		return result.Val.(Key), result.Err
	}
}

// readKey reads a key from the store and caches the result, unless it is an
// error.
func (a *Authenticator) readKey(ctx context.Context, id string) (key Key, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer func() {
		// This is not the goroutine of a request, so nothing else recovers.
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while reading an API key: %v\n%s", p, debug.Stack())
		}
	}()

	// Taken before the read, which may miss a revocation that happens meanwhile.
	readAt := a.now()
	key, err = a.store.FindKey(ctx, id)
	if errors.Is(err, ErrNotFound) {
		key, err = Key{}, nil
	}
	if err == nil {
		a.cache.Add(id, entry{key, readAt})
	}
	return key, err
}

// isFresh reports whether a result from readAt may still be used. It compares
// both the monotonic and the wall clock: the monotonic clock may stop while
// Lambda has frozen the process, and the wall clock may be set back.
func isFresh(readAt, now time.Time) bool {
	wall := now.Round(0).Sub(readAt.Round(0))
	return now.Sub(readAt) < CacheAge && 0 <= wall && wall < CacheAge
}
