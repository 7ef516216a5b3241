// Package api is the HTTP side of the lead API, in the words of net/http: its
// routes, what each takes and answers, who may call it, and how an error looks.
// The description for clients is openapi.yaml.
//
// A request's way, the same behind a ServeMux, in a test and in Lambda:
//
//	Handler    request id, time limit, panics, the log line        api.go
//	match      path and method: 404, 405, OPTIONS                  routes.go
//	receive    the body, as far as it comes in time: 503           crowd.go
//	enter      only so many requests at once: 503                  crowd.go
//	authorize  the API key and its scopes: 401, 403                auth.go
//	endpoint   parameters, the store, the answer                   leads.go
//	fail       an error becomes a status and a body, in one place  errors.go
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

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

const (
	// timeLimit is the longest that a request may take. API Gateway waits for
	// 30 seconds.
	timeLimit = 10 * time.Second

	// margin is the time kept for sending the answer before the deadline of
	// whoever waits for it: Lambda ends a function that is late.
	margin = 300 * time.Millisecond
)

// Config is what an API is made of. A handler that serves no route needs none
// of it but Log.
type Config struct {
	Leads lead.Store
	Keys  apikey.Store
	Log   *slog.Logger     // nil for no log
	Now   func() time.Time // nil for the clock
}

// API answers requests.
type API struct {
	leads lead.Store
	keys  *apikey.Authenticator
	log   *slog.Logger
	now   func() time.Time
	crowd crowd
}

// New returns the API over these stores.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c.Leads, apikey.NewAuthenticator(c.Keys, c.Now), c.Log, c.Now, newCrowd()}
}

// Handler returns the handler of these routes. What belongs to none of them is
// answered with the 404 or 405 of the whole API.
func (a *API) Handler(routes ...Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.now()
		x := &exchange{client: w, requestID: requestID(r.Context())}
		ctx, cancel := context.WithTimeout(r.Context(), timeLeft(r.Context()))
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				x.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				x.answer()
			}
			if !priming(r.Context()) {
				a.logLine(x, a.now().Sub(start))
			}
		}()
		h := w.Header()
		h.Set("Request-Id", x.requestID)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if err := a.serve(x, r.WithContext(ctx), routes); err != nil {
			x.fail(err)
		}
		x.answer()
	})
}

// serve answers a request or returns the error that is its answer.
func (a *API) serve(x *exchange, r *http.Request, routes []Route) error {
	found, id, allow := match(r)
	x.route = found.Name
	served := slices.IndexFunc(routes, func(route Route) bool { return route.Operation == found })
	switch {
	case allow == nil:
		return errRouteUnknown
	case r.Method == http.MethodOptions:
		x.Header().Set("Allow", strings.Join(allow, ", "))
		x.status = http.StatusNoContent
		return nil
	case found.Name == "":
		x.Header().Set("Allow", strings.Join(allow, ", "))
		return errMethodNotAllowed
	case served < 0:
		return errRouteUnknown
	}
	body, bodyErr := a.receive(x, r)
	if errors.As(bodyErr, new(*lead.UnavailableError)) {
		return bodyErr
	}
	if err := a.crowd.enter(); err != nil {
		return err
	}
	defer a.crowd.leave()
	if err := a.work(routes[served], &call{exchange: x, r: r, id: id, body: body, bodyErr: bodyErr}); err != nil {
		x.fail(err)
	}
	x.answer()
	return nil
}

// work calls the endpoint for a request that may be made. Only for that long it
// has a place at work: no client keeps one by being slow.
func (a *API) work(route Route, c *call) (err error) {
	if err := a.crowd.begin(c.r.Context()); err != nil {
		return err
	}
	defer a.crowd.end()
	if c.tenant, err = a.authorize(c.exchange, c.r); err != nil {
		return err
	}
	return route.endpoint(a, c)
}

// call is a request to an endpoint, by someone who may make it.
type call struct {
	*exchange
	r      *http.Request
	tenant lead.Tenant
	id     string // of the path, as the client wrote it

	body    []byte
	bodyErr error // where it could not be read
}

// exchange is an answer in the making, and what the log says of it.
type exchange struct {
	client    http.ResponseWriter
	requestID string
	route     string // "" where none matched
	status    int    // 0 until there is an answer
	content   []byte // of the answer
	answered  bool   // the client has it, or has begun to get it
	key       apikey.Key
	err       error // what made it fail, for the log alone
}

func (x *exchange) Header() http.Header { return x.client.Header() }

// send makes JSON the answer.
func (x *exchange) send(status int, body []byte) {
	x.Header().Set("Content-Type", "application/json")
	x.Header().Set("Content-Length", fmt.Sprint(len(body)))
	x.status, x.content = status, body
}

// answer sends the answer to the client, once. An error is of the connection,
// and nobody is left to hear of it.
func (x *exchange) answer() {
	if x.answered {
		return
	}
	x.answered = true
	x.client.WriteHeader(x.status)
	x.client.Write(x.content) //nolint:errcheck
	// At once, and not when the log has its line. In Lambda there is nothing to do.
	http.NewResponseController(x.client).Flush() //nolint:errcheck
}

func (a *API) logLine(x *exchange, took time.Duration) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("request_id", x.requestID),
		slog.String("route", x.route),
		slog.Int("status", x.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("account", x.key.Tenant.Account),
		slog.String("mode", string(x.key.Tenant.Mode)),
		slog.String("key_id", x.key.ID),
	}
	// Not by the status of the answer: that may have begun before the fault.
	if x.err != nil && problemOf(x.err).status >= http.StatusInternalServerError {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", x.err.Error()))
	}
	a.log.LogAttrs(context.Background(), level, "request", attrs...)
}

type primingKey struct{}

// Priming returns a context for a request that nobody sent, which makes a process
// ready for others: it reads ahead the keys that these may have, and leaves no
// line in the log.
func Priming(ctx context.Context) context.Context {
	return context.WithValue(ctx, primingKey{}, true)
}

func priming(ctx context.Context) bool { return ctx.Value(primingKey{}) != nil }

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

func timeLeft(ctx context.Context) time.Duration {
	left := timeLimit
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline)-margin)
	}
	return left
}
