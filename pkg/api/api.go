// Package api serves the lead API over net/http: its routes, their parameters
// and answers, authentication, and the form of errors. openapi.yaml describes
// the same for clients.
//
// Every request takes these steps, behind any HTTP server and in Lambda:
//
//	Handler     request id, time limit, panics, log line           api.go
//	findRoute   path and method: 404, 405, OPTIONS                 routes.go
//	authorize   the API key and its scopes: 401, 403               auth.go
//	readBody    the body, within a time limit: 503                 body.go
//	limiter     the number of requests in flight: 503              limiter.go
//	endpoint    parameters, the store, the answer                  leads.go, batch.go
//	page        a file, which needs no key                         page.go
//	fail        turns an error into a status and a body            errors.go
package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

const (
	// timeLimit is the longest time that a request may take. API Gateway waits
	// for 30 seconds.
	timeLimit = 10 * time.Second

	// margin is the time that is kept for sending the answer before the
	// caller's own deadline: Lambda stops a function that is late.
	margin = 300 * time.Millisecond
)

// Config is what an API needs. A handler without routes needs only Log.
type Config struct {
	Leads lead.Store
	Keys  apikey.Store
	Log   *slog.Logger     // nil for no log
	Now   func() time.Time // nil for time.Now
}

// API answers requests. It is safe for concurrent use.
type API struct {
	leads   lead.Store
	keys    *apikey.Authenticator
	log     *slog.Logger
	now     func() time.Time
	limiter limiter
}

// New returns the API over these stores.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	keys := limitedKeys{c.Keys, semaphore.NewWeighted(maxWorkers)}
	return &API{c.Leads, apikey.NewAuthenticator(keys, c.Now), c.Log, c.Now, newLimiter()}
}

// Handler returns a handler of these routes. It answers requests for other
// routes with 404, and unknown methods with 405 and the methods of the whole API.
func (a *API) Handler(routes ...Route) http.Handler {
	return http.HandlerFunc(func(client http.ResponseWriter, r *http.Request) {
		start := a.now()
		w := &response{client: client, requestID: requestID(r.Context())}
		// A client may close its side of the connection after the request, and wait
		// for the answer. net/http then cancels the context.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeLeft(r.Context()))
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				w.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				w.send()
			}
			if r.Context().Value(noLogKey{}) == nil {
				a.writeLog(w, a.now().Sub(start))
			}
		}()
		h := w.Header()
		h.Set("Request-Id", w.requestID)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if err := a.serve(w, r.WithContext(ctx), routes); err != nil {
			w.fail(err)
		}
		w.send()
	})
}

// serve answers a request, or returns the error to answer with.
func (a *API) serve(w *response, r *http.Request, routes []Route) error {
	route, id, allow := findRoute(r, routes)
	w.route = route.Name
	switch {
	case allow == nil:
		return errRouteUnknown
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(allow, ", "))
		w.status = http.StatusNoContent
		return nil
	case route.Name == "":
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return errMethodNotAllowed
	case !slices.ContainsFunc(routes, func(served Route) bool { return served.Name == route.Name }):
		return errRouteUnknown
	case route.page != nil:
		return route.page.serve(w, r)
	}
	// Before the body, so that a client without a key cannot occupy anything.
	tenant, err := a.authorize(w, r)
	if err != nil {
		w.leaveBody(r)
		return err
	}
	limit := int64(maxBody)
	if route.Path == batchPath {
		limit = maxBatchBody
	}
	body, bodyErr := a.readBody(w, r, limit)
	if errors.As(bodyErr, new(*lead.UnavailableError)) {
		return bodyErr
	}
	pool := a.limiter.poolOf(r)
	if !pool.inFlight.TryAcquire(limit / maxBody) {
		return errTooManyRequests
	}
	defer pool.inFlight.Release(limit / maxBody)
	if err := a.callEndpoint(route, w, &request{Request: r, tenant: tenant, id: id, body: body, bodyErr: bodyErr}); err != nil {
		w.fail(err)
	}
	w.send()
	return nil
}

// callEndpoint calls the endpoint. It needs a worker slot only for that, so a
// client that is slow to send its body or to take its answer cannot occupy one.
func (a *API) callEndpoint(route Route, w *response, r *request) error {
	workers := a.limiter.poolOf(r.Request).workers
	if workers.Acquire(r.Context(), 1) != nil {
		return errTooManyRequests
	}
	defer workers.Release(1)
	return route.endpoint(a, w, r)
}

// request is a request to an endpoint.
type request struct {
	*http.Request
	tenant  lead.Tenant
	id      string // of the path, without escapes
	body    []byte
	bodyErr error // where the body could not be read
}

// timeLeft returns how long a request may take.
func timeLeft(ctx context.Context) time.Duration {
	left := timeLimit
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline)-margin)
	}
	return left
}

type requestIDKey struct{}

// WithRequestID returns a context whose requests have this id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok && id != "" {
		return id
	}
	return rand.Text()
}

type noLogKey struct{}

// WithoutLog returns a context whose requests are not logged.
func WithoutLog(ctx context.Context) context.Context {
	return context.WithValue(ctx, noLogKey{}, true)
}
