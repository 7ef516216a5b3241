package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Route is an operation of the API and its endpoint. The name is that of the
// function's folder in functions/ and, in camel case, of the operation in
// openapi.yaml and of the resource in template.yaml; a test compares them.
type Route struct {
	Name     string
	Method   string
	Path     string // as in openapi.yaml: {id} stands for one segment
	endpoint func(*API, *response, *request) error
	page     *page // instead of endpoint, for a route of NewPage
}

const (
	collection = "/api/crm/lead"
	member     = collection + "/{id}"
	batchPath  = collection + "/batch"
)

// The routes of the API.
var (
	CreateLead   = Route{"create-lead", http.MethodPost, collection, (*API).createLead, nil}
	ListLeads    = Route{"list-leads", http.MethodGet, collection, (*API).listLeads, nil}
	RetrieveLead = Route{"retrieve-lead", http.MethodGet, member, (*API).retrieveLead, nil}
	UpdateLead   = Route{"update-lead", http.MethodPatch, member, (*API).updateLead, nil}
	UpsertLead   = Route{"upsert-lead", http.MethodPut, collection, (*API).upsertLead, nil}
	DeleteLead   = Route{"delete-lead", http.MethodDelete, member, (*API).deleteLead, nil}
	BatchLeads   = Route{"batch-leads", http.MethodPost, batchPath, (*API).batchLeads, nil}
)

// Routes returns all routes of the API.
func Routes() []Route {
	return []Route{CreateLead, ListLeads, RetrieveLead, UpdateLead, UpsertLead, DeleteLead, BatchLeads}
}

// findRoute returns the route of a request, the id in its path, and the methods
// that the path allows. The route has no name where the path does not allow the
// method. allow is nil where the path is unknown: all routes of the API are known,
// also those that are not served, and the pages among the served ones.
//
// Paths are exact. An http.ServeMux would redirect a doubled slash.
func findRoute(r *http.Request, served []Route) (found Route, id string, allow []string) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, route := range slices.Concat(Routes(), pages(served)) {
		segment, ok := route.matchPath(r.URL.EscapedPath())
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

func pages(routes []Route) []Route {
	return slices.DeleteFunc(slices.Clone(routes), func(route Route) bool { return route.page == nil })
}

// matchPath reports whether an escaped path is that of the route, and returns
// the segment in the place of {id} without escapes. An escaped slash does not
// end a segment.
func (route Route) matchPath(path string) (id string, ok bool) {
	prefix, hasID := strings.CutSuffix(route.Path, "{id}")
	if !hasID {
		return "", path == route.Path
	}
	segment, ok := strings.CutPrefix(path, prefix)
	return unescape(segment, url.PathUnescape), ok && segment != "" && !strings.Contains(segment, "/")
}
