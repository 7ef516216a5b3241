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

// WithTenant returns a context whose requests reach the leads of this tenant and
// need no API key. It is for callers whom something else authorises, as IAM does
// one that invokes a function itself; nothing in a request can put it there.
func WithTenant(ctx context.Context, t lead.Tenant) context.Context {
	return context.WithValue(ctx, tenantKey{}, t)
}

// trusted returns the tenant of WithTenant.
func trusted(ctx context.Context) (t lead.Tenant, ok bool) {
	t, ok = ctx.Value(tenantKey{}).(lead.Tenant)
	return t, ok
}

// authorize returns whose leads the request reaches.
func (a *API) authorize(x *exchange, r *http.Request) (lead.Tenant, error) {
	if t, ok := trusted(r.Context()); ok {
		x.key.Tenant = t
		return t, nil
	}
	key, err := a.keys.Authenticate(r.Context(), bearer(r))
	switch {
	case errors.Is(err, apikey.ErrInvalid):
		x.Header().Set("WWW-Authenticate", "Bearer")
		return lead.Tenant{}, errKeyInvalid
	case err != nil:
		return lead.Tenant{}, err
	}
	x.key = key
	needed := apikey.Write
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		needed = apikey.Read
	}
	if !key.Scopes.Has(needed) {
		return lead.Tenant{}, scopeMissing(needed)
	}
	return key.Tenant, nil
}

// bearer returns the token of the Authorization header (RFC 6750, section
// 2.1), or "" where there is no header, more than one, or another scheme.
func bearer(r *http.Request) string {
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
