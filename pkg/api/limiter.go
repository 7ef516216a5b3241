package api

import (
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"overplane.dev/leads/pkg/lead"
)

const (
	// maxWorkers is how many requests are processed at once. More would make
	// each slower, and would make more concurrent writers for the database to
	// keep apart. A Lambda function processes one event at a time.
	maxWorkers = 32

	// maxInFlight is how many requests may have sent their body and not yet
	// taken their whole answer. It bounds memory.
	maxInFlight = 1024

	// maxBodies is how many bodies are read at once. Requests without a body do
	// not wait for these.
	maxBodies = 1024
)

// limiter bounds how many requests there are at once.
type limiter struct{ bodies, inFlight, workers *semaphore.Weighted }

func newLimiter() limiter {
	return limiter{semaphore.NewWeighted(maxBodies), semaphore.NewWeighted(maxInFlight), semaphore.NewWeighted(maxWorkers)}
}

var errTooManyRequests = &lead.UnavailableError{RetryAfter: time.Second, Err: errors.New("too many requests at once")}
