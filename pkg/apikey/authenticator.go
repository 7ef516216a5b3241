package apikey

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// A Store holds keys.
type Store interface {
	// FindKey returns the key with the id, or ErrNotFound. It must see every
	// revocation acknowledged before the call: Authenticator's promise about
	// revoked keys builds on that. Any other error means that it could not
	// find out.
	FindKey(ctx context.Context, id string) (Key, error)
}

const (
	// CacheAge is how long an Authenticator goes on using what it read from
	// its Store. A key that has been revoked therefore stops working within
	// CacheAge and the time of one request: the promise is 30 seconds.
	CacheAge = 20 * time.Second

	// cacheSize bounds the memory that someone who sends invented keys can
	// make a process use, to well below a megabyte.
	cacheSize = 2048
)

// An Authenticator finds the keys that texts belong to. It remembers what it
// read for CacheAge, absent keys too, and may be used concurrently.
type Authenticator struct {
	store Store
	now   func() time.Time

	mu      sync.Mutex
	entries map[string]*list.Element // of entry, by key id
	used    *list.List               // of entry, last used first
	reads   map[string]*read         // under way, by key id
}

// entry is what the store said about an id.
type entry struct {
	id     string
	key    Key // the zero Key when there is none
	readAt time.Time
}

// read is a look-up under way, which others who want the same id wait for.
type read struct {
	done chan struct{} // closed at its end
	err  error         // valid after done; errAbandoned until there is a result
}

// errAbandoned marks a read that ended for a reason of its caller's own (it
// hung up, it panicked), which says nothing to those who waited.
var errAbandoned = errors.New("the look-up was abandoned")

// NewAuthenticator returns an Authenticator for the keys in store. It asks now
// for the time.
func NewAuthenticator(store Store, now func() time.Time) *Authenticator {
	return &Authenticator{
		store:   store,
		now:     now,
		entries: make(map[string]*list.Element),
		used:    list.New(),
		reads:   make(map[string]*read),
	}
}

// Authenticate returns the key that text belongs to, or ErrInvalid when it is
// no key that works now. Every other error comes from the store or from ctx:
// it is not known whether the key is valid, so nobody may be let in, but the
// client is not to blame either.
func (a *Authenticator) Authenticate(ctx context.Context, text string) (Key, error) {
	id, mode, ok := Parse(text)
	if !ok {
		return Key{}, ErrInvalid
	}
	key, err := a.find(ctx, id)
	if err != nil {
		return Key{}, err
	}
	if !a.valid(key, text, mode) {
		return Key{}, ErrInvalid
	}
	return key, nil
}

// valid reports whether text is the whole of key and key works now. For an
// unknown key it does the same work on the zero Key, whose hash no text has,
// so that the time it takes tells nothing.
func (a *Authenticator) valid(key Key, text string, mode lead.Mode) bool {
	hash := sha256.Sum256([]byte(text))
	same := subtle.ConstantTimeCompare(hash[:], key.Hash[:]) == 1
	expired := !key.ExpiresAt.IsZero() && !a.now().Before(key.ExpiresAt)
	// Not compared with the clock: the clock of whoever revoked the key may be
	// ahead of ours, and that must not buy the key time.
	revoked := !key.RevokedAt.IsZero()
	return same && key.Tenant.Mode == mode && !expired && !revoked
}

// find returns the key with the id from memory or from the store, and the zero
// Key when there is none. Of those who want the same key at the same time, one
// asks the store and the others wait for it.
func (a *Authenticator) find(ctx context.Context, id string) (Key, error) {
	for {
		a.mu.Lock()
		if key, ok := a.recall(id); ok {
			a.mu.Unlock()
			return key, nil
		}
		other := a.reads[id]
		if other == nil {
			own := &read{done: make(chan struct{}), err: errAbandoned}
			a.reads[id] = own
			a.mu.Unlock()
			return a.ask(ctx, id, own)
		}
		a.mu.Unlock()

		select {
		case <-ctx.Done():
			return Key{}, ctx.Err()
		case <-other.done:
			if other.err != nil && other.err != errAbandoned {
				return Key{}, other.err
			}
		}
	}
}

// ask reads the key from the store and remembers the answer, but no failure.
func (a *Authenticator) ask(ctx context.Context, id string, own *read) (key Key, err error) {
	var answer *entry
	// Deferred, so that nobody waits for ever for a store that panicked.
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if answer != nil {
			a.remember(*answer)
		}
		delete(a.reads, id)
		close(own.done)
	}()

	// Before the read: a revocation during it may not be in its answer.
	readAt := a.now()
	key, err = a.store.FindKey(ctx, id)
	if errors.Is(err, ErrNotFound) {
		key, err = Key{}, nil
	}
	if err == nil {
		answer, own.err = &entry{id, key, readAt}, nil
	} else if ctx.Err() == nil {
		own.err = err
	}
	return key, err
}

// recall returns what is remembered of id, unless it is too old. The caller
// holds a.mu.
func (a *Authenticator) recall(id string) (Key, bool) {
	element, ok := a.entries[id]
	if !ok {
		return Key{}, false
	}
	remembered := element.Value.(entry)
	if !fresh(remembered.readAt, a.now()) {
		return Key{}, false
	}
	a.used.MoveToFront(element)
	return remembered.key, true
}

// fresh reports whether what was read at readAt can still be used. It asks both
// clocks of a time.Time: the monotonic one may stand still while Lambda has
// frozen the process, the other may be set back.
func fresh(readAt, now time.Time) bool {
	wall := now.Round(0).Sub(readAt.Round(0))
	return now.Sub(readAt) < CacheAge && 0 <= wall && wall < CacheAge
}

// remember keeps e instead of what was known of its id and forgets whatever was
// not used for the longest time when there is no room. The caller holds a.mu.
func (a *Authenticator) remember(e entry) {
	if old, ok := a.entries[e.id]; ok {
		a.used.Remove(old)
	}
	a.entries[e.id] = a.used.PushFront(e)
	if a.used.Len() > cacheSize {
		last := a.used.Remove(a.used.Back()).(entry)
		delete(a.entries, last.id)
	}
}
