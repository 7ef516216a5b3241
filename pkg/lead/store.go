package lead

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Errors of a [Store].
var (
	// ErrNotFound: the tenant has no such lead. Another tenant's lead, a
	// deleted one and one that never was are all the same.
	ErrNotFound = errors.New("no such lead")

	// ErrPreconditionFailed: the lead is not at a version that the caller
	// asked for. Nothing changed.
	ErrPreconditionFailed = errors.New("the lead is at another version")

	// ErrKeyReused: the idempotency key came before, with other values.
	ErrKeyReused = errors.New("the idempotency key was used with other values")

	// ErrKeyInUse: another create with the same idempotency key was under way
	// for as long as the caller could wait.
	ErrKeyInUse = errors.New("the idempotency key is in use")
)

// UnavailableError is a fault that passes: nothing was done, or nobody knows whether
// it was, and the same call may be sent again.
type UnavailableError struct {
	Throttled  bool          // the database asked for fewer calls
	RetryAfter time.Duration // a sensible pause
	Err        error         // for the log
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("busy, try again in %v: %v", e.RetryAfter, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Store keeps the leads of many tenants; no call crosses from one to another.
// It is safe for concurrent use. Beside the errors named at each method, each
// may return a [*UnavailableError], or another error that nobody foresaw.
type Store interface {
	// Create makes a lead of these values. Called again with the same key of
	// once, it makes no second one: it returns the lead as it was first made,
	// and replayed is true; with other values it returns ErrKeyReused. ErrKeyInUse
	// means that the outcome of the first is not known yet.
	Create(ctx context.Context, t Tenant, values Values, once IdempotencyKey) (made Lead, replayed bool, err error)

	// Retrieve returns the lead, or ErrNotFound. It reads its own writes.
	Retrieve(ctx context.Context, t Tenant, id ID) (Lead, error)

	// List returns at most limit leads, newest first, after skipping offset of
	// them, and the exact number of all.
	List(ctx context.Context, t Tenant, limit int, offset int64) (leads []Lead, total int64, err error)

	// Update changes these fields and no others, and returns the whole lead.
	// No changes change nothing, UpdatedAt included. It returns ErrNotFound,
	// or ErrPreconditionFailed.
	Update(ctx context.Context, t Tenant, id ID, changes []Change, only Precondition) (Lead, error)

	// Delete removes the lead for good. It returns ErrNotFound, or
	// ErrPreconditionFailed.
	Delete(ctx context.Context, t Tenant, id ID, only Precondition) error
}

// IdempotencyKey names a create that must happen once. The zero IdempotencyKey is no name: every
// such create makes a lead.
type IdempotencyKey struct {
	// Source keeps the names of one kind of caller apart from those of
	// another: "http", "sqs", …
	Source string
	Key    string
	TTL    time.Duration // how long the name is remembered
}

// MaxIdempotencyKey is the greatest length in bytes of the key that a client
// gives to a [IdempotencyKey].
const MaxIdempotencyKey = 255

// ValidIdempotencyKey reports whether a client may give this key: 1 to
// [MaxIdempotencyKey] printable characters of ASCII.
func ValidIdempotencyKey(key string) bool {
	return key != "" && len(key) <= MaxIdempotencyKey && !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
}

// Precondition says at which versions of a lead a call may take effect. The
// zero Precondition always holds.
type Precondition struct {
	Match     *Versions // nil, or the version must be among these
	NoneMatch *Versions // nil, or the version must not be among these
}

// Versions is a set of versions of a lead.
type Versions struct {
	Any  bool // every version there is
	List []int64
}

// Holds reports whether a lead at this version meets the precondition.
func (p Precondition) Holds(version int64) bool {
	return (p.Match == nil || p.Match.contains(version)) &&
		(p.NoneMatch == nil || !p.NoneMatch.contains(version))
}

func (v *Versions) contains(version int64) bool {
	return v.Any || slices.Contains(v.List, version)
}
