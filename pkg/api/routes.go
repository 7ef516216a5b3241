package api

import (
	"net/http"
	"strings"
)

// Route is one operation of the API. Its name is that of its folder in
// functions/ and, in another case, of its operation in openapi.yaml and of its
// resource in template.yaml; a test holds the four together.
type Route struct {
	Name     string
	Method   string
	Path     string // as in openapi.yaml: {id} stands for one segment
	endpoint func(*API, *call) error
}

const (
	collection = "/api/crm/lead"
	member     = collection + "/{id}"
)

// The routes.
var (
	CreateLead   = Route{"create-lead", http.MethodPost, collection, (*API).createLead}
	ListLeads    = Route{"list-leads", http.MethodGet, collection, (*API).listLeads}
	RetrieveLead = Route{"retrieve-lead", http.MethodGet, member, (*API).retrieveLead}
	UpdateLead   = Route{"update-lead", http.MethodPatch, member, (*API).updateLead}
	DeleteLead   = Route{"delete-lead", http.MethodDelete, member, (*API).deleteLead}
)

// Routes returns all of them.
func Routes() []Route {
	return []Route{CreateLead, ListLeads, RetrieveLead, UpdateLead, DeleteLead}
}

// match finds the route of a request and the id in its path. Where the path is
// one of the API's but the method is not, the route has no name and allow has
// the methods there are; where the path is unknown, allow is nil.
//
// Paths are exact: an http.ServeMux would redirect a doubled slash.
func match(r *http.Request) (found Route, id string, allow []string) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, route := range Routes() {
		segment, ok := route.matches(r)
		if !ok {
			continue
		}
		allow = append(allow, route.Method)
		if route.Method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
		if route.Method == method {
			found, id = route, segment
		}
	}
	if allow != nil {
		allow = append(allow, http.MethodOptions)
	}
	return found, id, allow
}

// matches reports whether the path is the route's, and returns the segment in
// the place of {id}. Escapes are undone after the path was cut: an escaped
// slash is no slash.
func (route Route) matches(r *http.Request) (segment string, ok bool) {
	path := r.URL.EscapedPath()
	before, isMember := strings.CutSuffix(route.Path, "{id}")
	if !isMember {
		return "", path == route.Path
	}
	segment, ok = strings.CutPrefix(path, before)
	return unescape(segment), ok && segment != "" && !strings.Contains(segment, "/")
}
