package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"overplane.dev/leads/pkg/client"
)

// connectMCP starts leads mcp for the running leads serve and connects to it.
func connectMCP(t *testing.T, s *server) *mcp.ClientSession {
	t.Helper()
	cmd := exec.Command(os.Args[0], "mcp")
	cmd.Dir, cmd.Env, cmd.Stderr = s.cmd.Dir, testEnviron(), t.Output()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Errorf("leads mcp: %v", err)
		}
	})
	return session
}

// callTool calls a tool, decodes its result into out, and returns the text of its
// error.
func callTool(t *testing.T, session *mcp.ClientSession, name, arguments string, out any) (errorText string) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatalf("%s %s: %v", name, arguments, err)
	}
	text := result.Content[0].(*mcp.TextContent).Text
	if result.IsError {
		return text
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("%s answered %s: %v", name, text, err)
	}
	return ""
}

func TestMCP(t *testing.T) {
	s := start(t)
	session := connectMCP(t, s)
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	want := []string{"create_or_update_lead", "delete_lead", "find_lead", "list_leads", "update_lead"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("the tools differ (-want +got):\n%s", diff)
	}

	// The first call creates the lead, the second finds it by its address.
	const revenue = "1234567890.1234567890123456789012345678"
	var created, updated client.Lead
	if text := callTool(t, session, "create_or_update_lead", `{"fields":{"email_id":"ada@example.com","city":"London","annual_revenue":`+revenue+`}}`, &created); text != "" {
		t.Fatal(text)
	}
	if client.Value(created.City) != "London" || client.Value(created.AnnualRevenue) != revenue {
		t.Errorf("created %+v", created)
	}
	if text := callTool(t, session, "create_or_update_lead", `{"fields":{"email_id":"ADA@example.com","status":"Open"}}`, &updated); text != "" {
		t.Fatal(text)
	}
	if updated.ID != created.ID || client.Value(updated.Status) != "Open" || client.Value(updated.City) != "London" {
		t.Errorf("updated %+v", updated)
	}
	updated = client.Lead{}
	if text := callTool(t, session, "update_lead", `{"id":"`+created.ID+`","fields":{"city":null}}`, &updated); text != "" || updated.City != nil || client.Value(updated.Status) != "Open" {
		t.Errorf("updated %+v, %s", updated, text)
	}

	for _, call := range [][2]string{
		{"find_lead", `{"id":"` + created.ID + `"}`},
		{"find_lead", `{"email_id":"ada@example.com"}`},
		{"list_leads", `{}`},
		{"list_leads", `{"status":"Open","created_from":"2026-01-01T00:00:00Z","created_before":"2100-01-01T00:00:00Z","limit":1}`},
	} {
		var page client.Page
		if text := callTool(t, session, call[0], call[1], &page); text != "" || page.Total != 1 || len(page.Data) != 1 || page.Data[0].ID != created.ID {
			t.Errorf("%s %s: %+v, %s", call[0], call[1], page, text)
		}
	}
	var page client.Page
	if text := callTool(t, session, "list_leads", `{"lead_owner":"nobody"}`, &page); text != "" || page.Total != 0 {
		t.Errorf("the leads of nobody: %+v, %s", page, text)
	}
	page = client.Page{}
	if text := callTool(t, session, "list_leads", `{"starting_after":"`+created.ID+`"}`, &page); text != "" || len(page.Data) != 0 || page.Total != 1 {
		t.Errorf("the next page: %+v, %s", page, text)
	}

	for _, call := range []struct{ name, arguments, want string }{
		{"create_or_update_lead", `{"fields":{"city":"Paris"}}`, "400 parameter_invalid: "},
		{"create_or_update_lead", `{"fields":{"email_id":"bob@example.com","disabled":"yes"}}`, "disabled"},
		{"create_or_update_lead", `{"fields":{"email_id":"bob@example.com","phon":"1"}}`, "phon"},
		{"update_lead", `{"id":"` + created.ID + `","fields":{"email_id":"x"}}`, "Send an e-mail address"},
		{"update_lead", `{"id":"lead_1","fields":{"city":"x"}}`, "404 resource_missing: "},
		{"find_lead", `{"id":"lead_1"}`, "404 resource_missing: "},
		{"find_lead", `{}`, "400 parameter_invalid: "},
		{"list_leads", `{"limit":101}`, "400 parameter_invalid: "},
		{"delete_lead", `{"id":"lead_1"}`, "404 resource_missing: "},
	} {
		if text := callTool(t, session, call.name, call.arguments, new(any)); !strings.Contains(text, call.want) {
			t.Errorf("%s %s: error %q, want %q", call.name, call.arguments, text, call.want)
		}
	}

	var deleted map[string]any
	if text := callTool(t, session, "delete_lead", `{"id":"`+created.ID+`"}`, &deleted); text != "" || deleted["deleted"] != true {
		t.Errorf("deleted %v, %s", deleted, text)
	}

	// An address of two leads does not say which one to update.
	c := client.Client{URL: s.url, Key: s.key}
	for range 2 {
		if _, err := c.Create(t.Context(), &client.Lead{EmailID: new("two@example.com")}); err != nil {
			t.Fatal(err)
		}
	}
	if text := callTool(t, session, "create_or_update_lead", `{"fields":{"email_id":"two@example.com"}}`, new(any)); !strings.Contains(text, "409 match_ambiguous: ") {
		t.Errorf("an address of two leads: error %q", text)
	}
}
