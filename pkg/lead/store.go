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
	// ErrNotFound means that the tenant has no such lead. It is the same for
	// another tenant's lead, a deleted one, and one that never existed.
	ErrNotFound = errors.New("no such lead")

	// ErrPreconditionFailed means that the lead is at a version that the
	// [Precondition] excludes. Nothing was changed.
	ErrPreconditionFailed = errors.New("the lead is at another version")

	// ErrKeyReused means that the idempotency key was used with other values.
	ErrKeyReused = errors.New("the idempotency key was used with other values")

	// ErrKeyInUse means that another create with the same idempotency key was
	// running for as long as the caller could wait.
	ErrKeyInUse = errors.New("the idempotency key is in use")
)

// AmbiguousError means that several leads have the e-mail address of an upsert.
type AmbiguousError struct {
	IDs []ID // of these leads, the oldest first, at most ten
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several leads have this e-mail address: %v", e.IDs)
}

// UnavailableError is a temporary error. It is not known whether anything was
// done, and the caller may send the same call again.
type UnavailableError struct {
	Throttled  bool          // the database asked for fewer requests
	RetryAfter time.Duration // how long to wait before sending the call again
	Err        error         // the cause, for the log
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("unavailable, try again in %v: %v", e.RetryAfter, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Store keeps the leads of many tenants. A call reaches only the leads of its
// tenant. A Store is safe for concurrent use. Besides the errors named at each
// method, every method may return a [*UnavailableError], or an unexpected error.
type Store interface {
	// Create creates a lead with these values. When called again with the same
	// idempotency key, it creates no second lead: it returns the lead as it was
	// first created and replayed is true, or ErrKeyReused where the values
	// differ. It returns ErrKeyInUse where the result of the first call is not
	// known yet.
	Create(ctx context.Context, t Tenant, values Values, key IdempotencyKey) (created Lead, replayed bool, err error)

	// CreateMany creates many leads, in their order, and returns a result for
	// each. It has the guarantees of Create for each lead, and costs less.
	CreateMany(ctx context.Context, t Tenant, requests []CreateRequest) []CreateResult

	// Retrieve returns the lead, or ErrNotFound. It sees every earlier write.
	Retrieve(ctx context.Context, t Tenant, id ID) (Lead, error)

	// List returns a page of the leads that match the query, and the exact
	// number of them. The page and the number contain all changes that were
	// acknowledged before the call. A change that is made during the call may
	// be in both, in one or in none. It returns ErrFilterOff.
	List(ctx context.Context, t Tenant, q ListQuery) (Page, error)

	// Update changes these fields and returns the whole lead. Without changes
	// it changes nothing, UpdatedAt included. It returns ErrNotFound or
	// ErrPreconditionFailed.
	Update(ctx context.Context, t Tenant, id ID, changes []Change, only Precondition) (Lead, error)

	// Upsert updates the lead that has the e-mail address in changes, compared by
	// [EmailKey], or creates one if there is none. [ParseUpsert] returns such
	// changes. With only.Match it creates none. Upserts of one address at the same
	// time never create two leads. A lead that Create or Update gives this address
	// during the call may count as later.
	//
	// It returns ErrNotFound if there is no lead and only.Match is set,
	// ErrPreconditionFailed, an [*AmbiguousError], or ErrFilterOff.
	Upsert(ctx context.Context, t Tenant, changes []Change, only Precondition) (l Lead, created bool, err error)

	// Delete deletes the lead permanently. It returns ErrNotFound or
	// ErrPreconditionFailed.
	Delete(ctx context.Context, t Tenant, id ID, only Precondition) error
}

// CreateRequest is a lead to create, as one of many.
type CreateRequest struct {
	Values Values
	Key    IdempotencyKey
}

// CreateResult is the result of a [CreateRequest]. Its members are the results of
// [Store].Create.
type CreateResult struct {
	Lead     Lead
	Replayed bool
	Err      error
}

// ListQuery selects a page of a list. Lists are in the order of ids, the newest
// first.
type ListQuery struct {
	Filter *Filter // nil selects all leads

	// From and To select the leads that were created at From or later and
	// before To. Both are whole seconds. A zero time is no bound.
	From, To time.Time

	Limit int // the greatest length of the page, from 1 to 100

	// Offset is how many matching leads precede the page. It must be 0 with
	// StartingAfter or EndingBefore.
	Offset int64

	// The page starts directly after StartingAfter, or ends directly before
	// EndingBefore. At most one may be set. An id stands at the time that it
	// carries: there need not be a lead with this id.
	StartingAfter, EndingBefore ID
}

// Page is a page of a list.
type Page struct {
	Leads []Lead // the newest first
	Total int64  // of the leads that match filter and times, on all pages

	// HasMore reports whether there are more leads in the direction of paging:
	// older ones, or newer ones with EndingBefore.
	HasMore bool
}

// IdempotencyKey identifies a create that must happen only once. With the zero
// IdempotencyKey every call creates a lead.
type IdempotencyKey struct {
	// Source keeps the keys of different kinds of callers apart: "http",
	// "sqs", …
	Source string
	Key    string
	TTL    time.Duration // how long the key is remembered
}

// MaxIdempotencyKey is the greatest length in bytes of a client's idempotency key.
const MaxIdempotencyKey = 255

// ValidIdempotencyKey reports whether a client may send this key: 1 to
// [MaxIdempotencyKey] printable ASCII characters.
func ValidIdempotencyKey(key string) bool {
	return key != "" && len(key) <= MaxIdempotencyKey && !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
}

// Precondition says at which versions of a lead a call may take effect. The
// zero Precondition always holds.
type Precondition struct {
	Match     *Versions // nil, or the version must be one of these
	NoneMatch *Versions // nil, or the version must be none of these
}

// Versions is a set of versions of a lead.
type Versions struct {
	Any  bool    // every version
	List []int64 // at most 100
}

// Holds reports whether a lead at this version meets the precondition.
func (p Precondition) Holds(version int64) bool {
	return (p.Match == nil || p.Match.contains(version)) &&
		(p.NoneMatch == nil || !p.NoneMatch.contains(version))
}

func (v *Versions) contains(version int64) bool {
	return v.Any || slices.Contains(v.List, version)
}
