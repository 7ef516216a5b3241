package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/client"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
)

// TestMain starts an API over a database in memory, for all tests. LEADS_URL and
// LEADS_KEY, which the examples use, name it.
func TestMain(m *testing.M) {
	status, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

var table *dynamo.Table

func runTests(m *testing.M) (status int, err error) {
	ctx := context.Background()
	engine, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer engine.Stop()
	endpoint := engine.Endpoint()
	table = dynamo.New(dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, dynamo.Configure), "leads")
	if err := table.CreateTable(ctx); err != nil {
		return 1, err
	}
	config := api.Config{Leads: table, Keys: table, Log: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(api.New(config).Handler(api.Routes()...))
	defer server.Close()
	key, err := createKey(ctx, "example")
	if err != nil {
		return 1, err
	}
	os.Setenv("LEADS_URL", server.URL)
	os.Setenv("LEADS_KEY", key)
	return m.Run(), nil
}

func createKey(ctx context.Context, account string) (string, error) {
	text, key := apikey.NewKey(lead.Tenant{Account: account, Mode: lead.Test}, apikey.Read|apikey.Write, time.Now(), time.Time{})
	return text, table.CreateKey(ctx, key)
}

// newClient returns a client of an account without leads. The name of the account
// must be unique.
func newClient(t *testing.T, account string) *client.Client {
	t.Helper()
	key, err := createKey(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return &client.Client{URL: os.Getenv("LEADS_URL"), Key: key}
}
