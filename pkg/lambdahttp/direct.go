package lambdahttp

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// A direct call is JSON that says whose leads it is about and what the request
// would have said, as far as the operation has it:
//
//	{"account":"acme","mode":"live","lead":{...},"idempotency_key":"..."}  create-lead
//	{"account":"acme","mode":"live","id":"lead_..."}                       retrieve-lead
//	{"account":"acme","mode":"live","limit":20,"offset":0}                 list-leads
//	{"account":"acme","mode":"live","id":"lead_...","lead":{...}}          update-lead
//	{"account":"acme","mode":"live","id":"lead_..."}                       delete-lead
//
// The last two, and retrieve-lead, also take "if_match": a version, as events
// have it, or an entity tag. The result is the body of the HTTP answer. An error
// is one of the function, whose errorType is the code that the HTTP answer would
// have and whose errorMessage says what to do, so that a state machine can catch
// resource_missing and retry unavailable.
//
// The call passes through the same handler as a request. No API key is asked
// for: whoever may invoke the function is trusted with the leads of every
// account, which IAM decides. An idempotency_key is another than that of the
// same letters in HTTP.

// members are those that a direct call to each operation takes, beside account
// and mode. They go by names, because naming the routes of package api would put
// the code of each into every function.
var members = map[string][]string{
	"create-lead":   {"lead", "idempotency_key"},
	"retrieve-lead": {"id", "if_match"},
	"list-leads":    {"limit", "offset"},
	"update-lead":   {"id", "lead", "if_match"},
	"delete-lead":   {"id", "if_match"},
}

// call answers a direct call.
func (f function) call(ctx context.Context, payload []byte, route api.Route) ([]byte, error) {
	r, err := directRequest(ctx, payload, route)
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

// directRequest returns the request that a direct call stands for.
func directRequest(ctx context.Context, payload []byte, route api.Route) (*http.Request, error) {
	c, err := plainjson.Whole(payload, plainjson.Values, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, err // not reached: it was read before
	}
	known := append([]string{"account", "mode"}, members[route.Name]...)
	var invalid lead.ValidationError
	refuse := func(name string, code lead.Code, format string, args ...any) {
		invalid = append(invalid, lead.Violation{Param: name, Code: code, Message: fmt.Sprintf(format, args...)})
	}
	text := func(name string) string {
		s, err := jsontext.AppendUnquote(nil, c[name])
		if c[name].Kind() != '"' || err != nil {
			refuse(name, lead.ParameterInvalid, "Send a string for %s.", name)
		}
		return string(s)
	}

	var unknown []string
	for name := range c {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		refuse(name, lead.ParameterUnknown, "A direct call of %s takes no %s: it takes %s.", route.Name, name, strings.Join(known, ", "))
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
		if value, ok := c[name]; ok && slices.Contains(known, name) {
			query.Set(name, string(value)) // a number as it is written
		}
	}
	u.RawQuery = query.Encode()
	header := http.Header{}
	if _, ok := c["idempotency_key"]; ok && slices.Contains(known, "idempotency_key") {
		header.Set("Idempotency-Key", text("idempotency_key"))
	}
	if match, ok := c["if_match"]; ok && slices.Contains(known, "if_match") {
		if match.Kind() == '0' {
			header.Set("If-Match", `"`+string(match)+`"`)
		} else {
			header.Set("If-Match", text("if_match"))
		}
	}
	if len(invalid) > 0 {
		return nil, invalid
	}
	return newRequest(api.WithTenant(ctx, tenant), route.Method, u, header, c["lead"]), nil
}

// directError makes a function's error of the body of an HTTP answer.
func directError(body []byte) error {
	var e messages.InvokeResponse_Error
	var violations []string // the first is the error's own
	member := func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "code":
			e.Type, err = plainjson.String(d)
		case "message":
			e.Message, err = plainjson.String(d)
		case "errors":
			violations, err = plainjson.List(d, readViolation)
		default:
			err = d.SkipValue()
		}
		return err
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	err := plainjson.Object(d, func(d *jsontext.Decoder, _ string) error {
		return plainjson.Object(d, member)
	})
	if err != nil {
		return err // not reached: the body is ours
	}
	for i, message := range violations {
		if i > 0 {
			e.Message += " " + message
		}
	}
	return e
}

// readViolation returns the message of a violation.
func readViolation(d *jsontext.Decoder) (message string, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		if name != "message" {
			return d.SkipValue()
		}
		message, err = plainjson.String(d)
		return err
	})
	return message, err
}
