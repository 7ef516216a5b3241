package api

import (
	"net/http"
	"strings"
)

// Operation is one of the API. Its name is that of its folder in functions/ and,
// in another case, of its operation in openapi.yaml and of its resource in
// template.yaml; a test holds the four together.
type Operation struct {
	Name   string
	Method string
	Path   string // as in openapi.yaml: {id} stands for one segment
}

const (
	collection = "/api/crm/lead"
	member     = collection + "/{id}"
)

var (
	createLead   = Operation{"create-lead", http.MethodPost, collection}
	listLeads    = Operation{"list-leads", http.MethodGet, collection}
	retrieveLead = Operation{"retrieve-lead", http.MethodGet, member}
	updateLead   = Operation{"update-lead", http.MethodPatch, member}
	deleteLead   = Operation{"delete-lead", http.MethodDelete, member}
)

// operations are all there are. They are apart from their routes, so that a
// function has only its own endpoint's code in its program: the linker leaves out
// what it takes to answer the others.
var operations = []*Operation{&createLead, &listLeads, &retrieveLead, &updateLead, &deleteLead}

// Route is an operation and what answers it.
type Route struct {
	*Operation
	endpoint func(*API, *call) error
}

// The routes.
var (
	CreateLead   = Route{&createLead, (*API).createLead}
	ListLeads    = Route{&listLeads, (*API).listLeads}
	RetrieveLead = Route{&retrieveLead, (*API).retrieveLead}
	UpdateLead   = Route{&updateLead, (*API).updateLead}
	DeleteLead   = Route{&deleteLead, (*API).deleteLead}
)

// Routes returns all of them.
func Routes() []Route {
	return []Route{CreateLead, ListLeads, RetrieveLead, UpdateLead, DeleteLead}
}

// match finds the operation of a request and the id in its path. Where the path
// is one of the API's but the method is not, the operation has no name and allow
// has the methods there are; where the path is unknown, allow is nil.
//
// Paths are exact: an http.ServeMux would redirect a doubled slash.
func match(r *http.Request) (found *Operation, id string, allow []string) {
	found = &Operation{}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, o := range operations {
		segment, ok := o.matches(r)
		if !ok {
			continue
		}
		allow = append(allow, o.Method)
		if o.Method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
		if o.Method == method {
			found, id = o, segment
		}
	}
	if allow != nil {
		allow = append(allow, http.MethodOptions)
	}
	return found, id, allow
}

// matches reports whether the path is the operation's, and returns the segment in
// the place of {id}. Escapes are undone after the path was cut: an escaped
// slash is no slash.
func (o *Operation) matches(r *http.Request) (segment string, ok bool) {
	path := r.URL.EscapedPath()
	before, isMember := strings.CutSuffix(o.Path, "{id}")
	if !isMember {
		return "", path == o.Path
	}
	segment, ok = strings.CutPrefix(path, before)
	return unescape(segment), ok && segment != "" && !strings.Contains(segment, "/")
}
