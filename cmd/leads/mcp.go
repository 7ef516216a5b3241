package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"net/url"
	"reflect"
	"runtime/debug"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"overplane.dev/leads/pkg/client"
)

// serveMCP serves the Model Context Protocol on standard input and output, until
// the client ends the input.
func serveMCP(flags *flag.FlagSet) runFunc {
	return withClient(flags, func(ctx context.Context, c *client.Client, _ []string) error {
		err := newMCPServer(c).Run(ctx, &mcp.StdioTransport{})
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
}

// newMCPServer returns a server whose tools call the API.
func newMCPServer(c *client.Client) *mcp.Server {
	info, _ := debug.ReadBuildInfo()
	server := mcp.NewServer(&mcp.Implementation{Name: "leads", Title: "Lead API", Version: info.Main.Version}, nil)
	readOnly := &mcp.ToolAnnotations{ReadOnlyHint: true}

	type find struct {
		ID      string `json:"id,omitempty" jsonschema:"id of the lead"`
		EmailID string `json:"email_id,omitempty" jsonschema:"e-mail address; upper and lower case make no difference"`
	}
	addTool(server, "find_lead", "Find a lead by its id, or all leads with an e-mail address.", readOnly, func(ctx context.Context, in find) (any, error) {
		if in.ID == "" {
			return c.List(ctx, url.Values{"email_id": {in.EmailID}})
		}
		l, err := c.Get(ctx, in.ID)
		return client.Page{Data: []*client.Lead{l}, Total: 1}, err
	})

	type list struct {
		Status        *string `json:"status,omitempty" jsonschema:"only leads with exactly this status, such as Lead or Open"`
		LeadOwner     *string `json:"lead_owner,omitempty" jsonschema:"only leads of this owner; not together with status"`
		CreatedFrom   string  `json:"created_from,omitempty" jsonschema:"only leads created at or after this RFC 3339 time"`
		CreatedBefore string  `json:"created_before,omitempty" jsonschema:"only leads created before this RFC 3339 time"`
		Limit         int     `json:"limit,omitempty" jsonschema:"greatest number of leads, 1 to 100; 20 by default"`
		StartingAfter string  `json:"starting_after,omitempty" jsonschema:"id of the last lead of the page before"`
	}
	addTool(server, "list_leads", "List leads, newest first. total is the exact number of all leads that match.", readOnly, func(ctx context.Context, in list) (any, error) {
		query := url.Values{}
		if in.Limit != 0 {
			query.Set("limit", strconv.Itoa(in.Limit))
		}
		for name, value := range map[string]*string{"status": in.Status, "lead_owner": in.LeadOwner} {
			if value != nil {
				query.Set(name, *value)
			}
		}
		for name, value := range map[string]string{"created_at[gte]": in.CreatedFrom, "created_at[lt]": in.CreatedBefore, "starting_after": in.StartingAfter} {
			if value != "" {
				query.Set(name, value)
			}
		}
		return c.List(ctx, query)
	})

	type create struct {
		Fields json.RawMessage `json:"fields"`
	}
	addTool(server, "create_or_update_lead", `Update the lead with the given email_id, or create one if there is none.
Fields that are left out or null stay as they are.`, nil, func(ctx context.Context, in create) (any, error) {
		setFields, err := parseFields(in.Fields)
		if err != nil {
			return nil, err
		}
		var l client.Lead
		setFields(&l)
		return c.Upsert(ctx, &l)
	})

	type update struct {
		ID     string          `json:"id" jsonschema:"id of the lead"`
		Fields json.RawMessage `json:"fields"`
	}
	addTool(server, "update_lead", "Update fields of a lead. null clears a field.", nil, func(ctx context.Context, in update) (any, error) {
		setFields, err := parseFields(in.Fields)
		if err != nil {
			return nil, err
		}
		return c.Update(ctx, in.ID, setFields)
	})

	type remove struct {
		ID string `json:"id" jsonschema:"id of the lead"`
	}
	addTool(server, "delete_lead", "Delete a lead for good.", nil, func(ctx context.Context, in remove) (any, error) {
		return map[string]any{"id": in.ID, "deleted": true}, c.Delete(ctx, in.ID)
	})
	return server
}

// addTool adds a tool to the server. In is a struct with the arguments; a
// json.RawMessage in it holds fields of a lead.
func addTool[In any](server *mcp.Server, name, description string, annotations *mcp.ToolAnnotations, call func(context.Context, In) (any, error)) {
	schema, err := jsonschema.For[In](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.RawMessage](): fieldsSchema(),
	}})
	if err != nil {
		panic(err) // the types above all have a schema
	}
	tool := &mcp.Tool{Name: name, Description: description, InputSchema: schema, Annotations: annotations}
	mcp.AddTool(server, tool, func(ctx context.Context, request *mcp.CallToolRequest, _ In) (*mcp.CallToolResult, any, error) {
		var in In // decoded again, because the SDK rounds numbers to float64
		if err := json.Unmarshal(request.Params.Arguments, &in); err != nil {
			return nil, nil, err
		}
		result, err := call(ctx, in)
		return nil, result, err
	})
}

// fieldsSchema describes the fields of a lead that clients can set.
func fieldsSchema() *jsonschema.Schema {
	schema, err := jsonschema.For[client.Lead](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.Number](): {Type: "number"},
	}})
	if err != nil {
		panic(err) // client.Lead has a schema
	}
	maps.DeleteFunc(schema.Properties, func(name string, _ *jsonschema.Schema) bool {
		return name == "id" || name == "created_at" || name == "updated_at"
	})
	schema.PropertyOrder = schema.PropertyOrder[3:]
	return schema
}
