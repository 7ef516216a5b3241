package api_test

import (
	"net/http"
	"testing"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/test/contract"
)

func TestAuthorizationHeader(t *testing.T) {
	w := newFixture(t)
	key, other := w.keys[contract.Main], w.keys[contract.ReadOnly]
	for outcome, c := range map[string]struct {
		values []string
		status int
	}{
		"a bearer token":                 {[]string{"Bearer " + key}, 200},
		"its scheme in other case":       {[]string{"bEARER " + key}, 200}, // RFC 9110, section 11.1
		"more spaces before it":          {[]string{"Bearer   " + key}, 200},
		"no header":                      {nil, 401},
		"an empty header":                {[]string{""}, 401},
		"the scheme alone":               {[]string{"Bearer"}, 401},
		"no scheme":                      {[]string{key}, 401},
		"another scheme":                 {[]string{"Basic " + key}, 401},
		"no space":                       {[]string{"Bearer" + key}, 401},
		"a tab":                          {[]string{"Bearer\t" + key}, 401},
		"two tokens":                     {[]string{"Bearer " + key + " " + key}, 401},
		"two tokens in a list":           {[]string{"Bearer " + key + ", Bearer " + other}, 401},
		"two headers":                    {[]string{"Bearer " + key, "Bearer " + other}, 401},
		"two headers, one of them valid": {[]string{"Bearer " + key, "Basic x"}, 401},
		"twice the same header":          {[]string{"Bearer " + key, "Bearer " + key}, 401},
	} {
		t.Run(outcome, func(t *testing.T) {
			var headers []string
			for _, value := range c.values {
				headers = append(headers, "Authorization", value)
			}
			if got := w.send(t, "", http.MethodGet, collection, "", headers...); got.status != c.status {
				t.Errorf("the status is %d, want %d", got.status, c.status)
			}
		})
	}
}

// TestEveryRouteNeedsItsScope requests every route with a read key and with a
// write key.
func TestEveryRouteNeedsItsScope(t *testing.T) {
	w := newFixture(t)
	for _, route := range api.Routes() {
		allowed, refused := contract.WriteOnly, contract.ReadOnly
		if route.Method == http.MethodGet {
			allowed, refused = refused, allowed
		}
		t.Run(route.Name, func(t *testing.T) {
			if got := w.send(t, allowed, route.Method, pathOf(route), ""); got.status == http.StatusForbidden {
				t.Errorf("the key %s is refused: %s", allowed, got.body)
			}
			// Before anything else is checked.
			wantError(t, w.send(t, refused, route.Method, pathOf(route)+"?a=b", "["), http.StatusForbidden, "scope_missing", "")
			wantError(t, w.send(t, "", route.Method, pathOf(route)+"?a=b", "["), http.StatusUnauthorized, "api_key_invalid", "")
		})
	}
}
