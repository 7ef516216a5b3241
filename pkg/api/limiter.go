package api

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

const (
	// maxWorkers is how many reads are processed at once, and how many writes.
	// More would make each slower, and the counters would have more concurrent
	// writers. A Lambda function processes one event at a time. A batch counts as
	// one, and makes up to maxAtOnce calls of the store at once.
	maxWorkers = 32

	// maxInFlight is how many reads may be in flight, and how many writes:
	// requests that were accepted and whose answer is not yet sent completely. It
	// bounds memory. A batch counts as eight, because its body may be that much
	// larger.
	maxInFlight = 1024

	// maxBodies is how many bodies are read at once. If there are more, the
	// oldest is stopped. Requests without a body are not counted. A batch counts
	// as eight.
	maxBodies = 1024
)

// limiter bounds how many requests there are at once. Reads do not wait for
// writes, which can be slow on a database that still reads fast, nor the other
// way round. Neither waits for other clients' API keys, which have workers of
// their own (see limitedKeys).
type limiter struct {
	bodies        bodies
	reads, writes pool
}

// pool bounds the requests of one kind.
type pool struct{ inFlight, workers *semaphore.Weighted }

func newLimiter() limiter { return limiter{reads: newPool(), writes: newPool()} }

// bodies bounds how many bodies are read at once. If there are too many, it stops
// the oldest and does not refuse the new one: a body usually arrives at once, so
// clients that send only half of theirs do not get others refused.
type bodies struct {
	mu      sync.Mutex
	size    int64
	reading list.List // of body, the oldest first
}

type body struct {
	size int64
	stop func()
}

// begin adds a body that counts as this many. The function stop ends the reading
// of the body with an error.
func (b *bodies) begin(size int64, stop func()) *list.Element {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += size
	for b.size > maxBodies {
		oldest := b.reading.Remove(b.reading.Front()).(body)
		b.size -= oldest.size
		oldest.stop()
	}
	return b.reading.PushBack(body{size, stop})
}

// end removes a body, unless begin has removed it. The body is not stopped
// afterwards.
func (b *bodies) end(e *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.reading.Len()
	if removed := b.reading.Remove(e).(body); b.reading.Len() < n {
		b.size -= removed.size
	}
}

func newPool() pool {
	return pool{semaphore.NewWeighted(maxInFlight), semaphore.NewWeighted(maxWorkers)}
}

// poolOf returns the pool of a request.
func (l *limiter) poolOf(r *http.Request) pool {
	if isRead(r) {
		return l.reads
	}
	return l.writes
}

// limitedKeys is a store of keys that reads at most maxWorkers keys at once.
// Requests whose key is in the cache do not wait.
type limitedKeys struct {
	apikey.Store
	workers *semaphore.Weighted
}

// FindKey implements [apikey.Store].
func (s limitedKeys) FindKey(ctx context.Context, id string) (apikey.Key, error) {
	if err := s.workers.Acquire(ctx, 1); err != nil {
		return apikey.Key{}, err
	}
	defer s.workers.Release(1)
	return s.Store.FindKey(ctx, id)
}

var errTooManyRequests = &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("too many requests at once")}
