package lambdahttp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
)

// A direct call is made by a state machine, a pipe or another function, without
// API Gateway. Its event names the tenant and the parameters of the operation:
//
//	{"account":"acme","mode":"live","lead":{...},"idempotency_key":"..."}  create-lead
//	{"account":"acme","mode":"live","id":"lead_..."}                       retrieve-lead
//	{"account":"acme","mode":"live","status":"Open","limit":20,"offset":0} list-leads
//	{"account":"acme","mode":"live","id":"lead_...","lead":{...}}          update-lead
//	{"account":"acme","mode":"live","match":"email_id","lead":{...}}       upsert-lead
//	{"account":"acme","mode":"live","id":"lead_..."}                       delete-lead
//	{"account":"acme","mode":"live","operations":[{...},...]}              batch-leads
//
// list-leads takes all parameters of the list, and "created_at":{"gte":"..."} for
// created_at[gte]. retrieve-lead, update-lead, upsert-lead and delete-lead also take
// "if_match": a version, as in the events of changes, or an entity tag. The result is
// the body of the HTTP answer. An error is an error of the function: errorType is the
// code of the HTTP answer and errorMessage says what to do, so that a state machine
// can catch resource_missing and retry unavailable.
//
// The call is handled like an HTTP request, but without an API key: IAM decides
// who may call the function, and these callers may reach the leads of every
// account. An idempotency_key and an Idempotency-Key header of the same text are
// different keys.

// directMembers returns the members that a direct call of the route takes.
func directMembers(route api.Route) []string {
	known := []string{"account", "mode"}
	switch route.Name {
	case api.CreateLead.Name:
		return append(known, "lead", "idempotency_key")
	case api.ListLeads.Name:
		return append(known, "limit", "offset", "status", "lead_owner", "email_id", "created_at", "starting_after", "ending_before")
	case api.UpdateLead.Name:
		return append(known, "id", "lead", "if_match")
	case api.UpsertLead.Name:
		return append(known, "match", "lead", "if_match")
	case api.BatchLeads.Name:
		return append(known, "operations")
	}
	return append(known, "id", "if_match")
}

// callDirectly answers a direct call.
func (f function) callDirectly(ctx context.Context, members map[string]jsontext.Value, route api.Route) ([]byte, error) {
	r, err := directRequest(ctx, members, route)
	if err != nil {
		code, message := api.Describe(err)
		return nil, messages.InvokeResponse_Error{Type: code, Message: message}
	}
	var w response
	f.handler.ServeHTTP(&w, r)
	if w.status < http.StatusBadRequest {
		return w.body.Bytes(), nil
	}
	return nil, directError(w.body.Bytes())
}

// directRequest returns the HTTP request for a direct call.
func directRequest(ctx context.Context, members map[string]jsontext.Value, route api.Route) (*http.Request, error) {
	known := directMembers(route)
	var invalid lead.ValidationError
	refuse := func(name string, code lead.Code, format string, args ...any) {
		invalid = append(invalid, lead.Violation{Param: name, Code: code, Message: fmt.Sprintf(format, args...)})
	}
	text := func(name string) string {
		s, err := jsontext.AppendUnquote(nil, members[name])
		if err != nil {
			refuse(name, lead.ParameterInvalid, "Send a string for %s.", name)
		}
		return string(s)
	}
	// given reports whether the operation takes a member and the call has it.
	given := func(name string) bool { return slices.Contains(known, name) && members[name] != nil }

	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			refuse(name, lead.ParameterUnknown, "A direct call of %s takes no such member: it takes %s.", route.Name, strings.Join(known, ", "))
		}
	}
	tenant := lead.Tenant{Account: text("account"), Mode: lead.Mode(text("mode"))}
	if len(invalid) == 0 && !lead.ValidAccount(tenant.Account) {
		refuse("account", lead.ParameterInvalid, "Send the name of an account: 1 to 32 lower-case letters, digits and hyphens.")
	}
	if len(invalid) == 0 && !tenant.Mode.Valid() {
		refuse("mode", lead.ParameterInvalid, "Send test or live for mode.")
	}

	u := &url.URL{Path: route.Path}
	if slices.Contains(known, "id") {
		id := text("id")
		if len(invalid) == 0 && id == "" {
			return nil, lead.ErrNotFound
		}
		u.Path = strings.Replace(route.Path, "{id}", id, 1)
		u.RawPath = strings.Replace(route.Path, "{id}", url.PathEscape(id), 1)
	}
	query := url.Values{}
	for _, name := range []string{"limit", "offset"} {
		if given(name) {
			query.Set(name, string(members[name])) // a number as it is written
		}
	}
	for _, name := range []string{"status", "lead_owner", "email_id", "starting_after", "ending_before", "match"} {
		if given(name) {
			query.Set(name, text(name))
		}
	}
	if given("created_at") {
		var bounds map[string]string
		if json.Unmarshal(members["created_at"], &bounds) != nil || bounds == nil {
			refuse("created_at", lead.ParameterInvalid, `Send an object such as {"gte":"2024-01-15T09:30:00Z"} for created_at.`)
		}
		for comparison, bound := range bounds {
			query.Set("created_at["+comparison+"]", bound)
		}
	}
	u.RawQuery = query.Encode()
	header := http.Header{}
	if given("idempotency_key") {
		header.Set("Idempotency-Key", text("idempotency_key"))
	}
	if given("if_match") {
		if version := members["if_match"]; version.Kind() == jsontext.KindNumber {
			header.Set("If-Match", `"`+string(version)+`"`)
		} else {
			header.Set("If-Match", text("if_match"))
		}
	}
	if len(invalid) > 0 {
		return nil, invalid
	}
	body := members["lead"]
	if given("operations") {
		body = slices.Concat([]byte(`{"operations":`), members["operations"], []byte("}"))
	}
	return newRequest(api.WithTenant(ctx, tenant), route.Method, u, header, body), nil
}

// directError returns the function's error for the body of an HTTP error. Its
// message is that of all violations.
func directError(body []byte) error {
	var answer struct {
		Error struct {
			Code, Message string
			Errors        lead.ValidationError
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	message := answer.Error.Message
	if len(answer.Error.Errors) > 0 {
		message = answer.Error.Errors.Error()
	}
	return messages.InvokeResponse_Error{Type: answer.Error.Code, Message: message}
}
