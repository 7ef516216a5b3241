package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

const (
	tableName  = "leads"
	collection = "/api/crm/lead"
	body       = `{"lead_name":"Ada Lovelace","company_name":"Example Corp","email_id":"ada@example.com","city":"London","annual_revenue":1250000}`
	change     = `{"status":"Open"}`
)

var operations = []string{"retrieve", "create", "update", "list", "delete"}

// mix says which requests of twenty are which. The median is to be one of the
// quickest kind, and not in the gap between two kinds.
const mix = "of 20 requests 12 retrieve, 3 create, 2 update, 2 list and 1 deletes"

// requests makes requests of the mix, on leads that are there before.
type requests struct {
	url    string
	key    string
	tenant lead.Tenant
	table  *dynamo.Table

	mu     sync.Mutex
	sent   int
	kept   []lead.ID // to retrieve and update
	doomed []lead.ID // to delete, each once
}

// prepare makes the table, a key and leads for so many requests, each a second
// after the one before.
func prepare(ctx context.Context, table *dynamo.Table, n int) (*requests, error) {
	r := &requests{tenant: lead.Tenant{Account: "load", Mode: lead.Test}, table: table}
	if err := r.table.CreateTable(ctx); err != nil {
		return nil, err
	}
	text, key := apikey.Mint(r.tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	r.key = text
	if err := r.table.CreateKey(ctx, key); err != nil {
		return nil, err
	}
	leads := 200 + n/20 + 1
	now := time.Now().Add(-time.Duration(leads) * time.Second)
	table.Now = func() time.Time { return now }
	for i := range leads {
		now = now.Add(time.Second)
		made, err := r.create(ctx)
		if err != nil {
			return nil, err
		}
		if i < 200 {
			r.kept = append(r.kept, made.ID)
		} else {
			r.doomed = append(r.doomed, made.ID)
		}
	}
	return r, nil
}

// client returns a client of the engine, which calls as the product's does.
func client(endpoint string, configure ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("load", "load", ""),
	}, append(configure, dynamo.Configure)...)
}

// next is a vegeta.Targeter.
func (r *requests) next(t *vegeta.Target) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.kept[r.sent*7%len(r.kept)]
	*t = vegeta.Target{Header: http.Header{"Authorization": {"Bearer " + r.key}}}
	switch i := r.sent * 7 % 20; { // 7 and 20 have no common factor: the kinds are mixed
	case i < 12:
		t.Method, t.URL = "GET", collection+"/"+string(id)
	case i < 15:
		t.Method, t.URL, t.Body = "POST", collection, []byte(body)
	case i < 17:
		t.Method, t.URL, t.Body = "PATCH", collection+"/"+string(id), []byte(change)
	case i < 19:
		t.Method, t.URL = "GET", collection+"?limit=20&offset="+strconv.Itoa(r.sent%100)
	default:
		if len(r.doomed) == 0 {
			return errors.New("there are no more leads to delete")
		}
		t.Method, t.URL = "DELETE", collection+"/"+string(r.doomed[0])
		r.doomed = r.doomed[1:]
	}
	if len(t.Body) > 0 {
		t.Header.Set("Content-Type", "application/json")
	}
	t.URL = r.url + t.URL
	r.sent++
	return nil
}

// operationOf names what a request asks for.
func operationOf(method, path string) string {
	switch {
	case method == "POST":
		return "create"
	case method == "PATCH":
		return "update"
	case method == "DELETE":
		return "delete"
	case strings.HasPrefix(path, collection+"/"):
		return "retrieve"
	default:
		return "list"
	}
}

func (r *requests) create(ctx context.Context) (lead.Lead, error) {
	changes, err := lead.ParseChanges([]byte(body))
	if err != nil {
		return lead.Lead{}, err
	}
	values := lead.Defaults()
	values.Apply(changes)
	made, _, err := r.table.Create(ctx, r.tenant, values, lead.Once{})
	return made, err
}
