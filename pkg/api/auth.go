package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

type tenantKey struct{}

// WithTenant returns a context whose requests reach the leads of this tenant
// without an API key. It is for callers that are authorized by other means, as
// IAM does for direct calls of a function. Nothing in a request can set it.
func WithTenant(ctx context.Context, t lead.Tenant) context.Context {
	return context.WithValue(ctx, tenantKey{}, t)
}

// trustedTenant returns the tenant of WithTenant.
func trustedTenant(ctx context.Context) (t lead.Tenant, ok bool) {
	t, ok = ctx.Value(tenantKey{}).(lead.Tenant)
	return t, ok
}

// authorize returns the tenant whose leads the request reaches.
func (a *API) authorize(w *response, r *http.Request) (lead.Tenant, error) {
	if t, ok := trustedTenant(r.Context()); ok {
		w.key.Tenant = t
		return t, nil
	}
	key, err := a.keys.Authenticate(r.Context(), bearerToken(r))
	switch {
	case errors.Is(err, apikey.ErrInvalid):
		w.Header().Set("WWW-Authenticate", "Bearer")
		return lead.Tenant{}, errKeyInvalid
	case err != nil:
		return lead.Tenant{}, err
	}
	w.key = key
	needed := apikey.Write
	if isRead(r) {
		needed = apikey.Read
	}
	if !key.Scopes.Has(needed) {
		return lead.Tenant{}, scopeMissing(needed)
	}
	return key.Tenant, nil
}

// isRead reports whether the request changes nothing.
func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// bearerToken returns the token of the Authorization header (RFC 6750, section
// 2.1), or "" where there is no such header, more than one, or another scheme.
func bearerToken(r *http.Request) string {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
