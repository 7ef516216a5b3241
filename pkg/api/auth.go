package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// authorize returns whose leads the request reaches.
func (a *API) authorize(x *exchange, r *http.Request) (lead.Tenant, error) {
	key, err := a.keys.Authenticate(r.Context(), bearer(r))
	switch {
	case errors.Is(err, apikey.ErrInvalid):
		x.Header().Set("WWW-Authenticate", "Bearer")
		return lead.Tenant{}, errKeyInvalid
	case r.Context().Err() != nil: // also while it waited for another's look-up
		return lead.Tenant{}, &lead.BusyError{RetryAfter: time.Second, Err: err}
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
