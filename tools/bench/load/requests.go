package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
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
	newLead    = `{"lead_name":"Ada Lovelace","company_name":"Example Corp","email_id":"ada@example.com","city":"London","annual_revenue":1250000}`
	change     = `{"status":"Open"}`

	permanentLeads = 200
)

// mix is the share of each operation. The median is then a retrieve, and not in
// the gap between two operations.
const mix = "of 20 requests 12 retrieve, 3 create, 2 update, 2 list and 1 deletes"

// requests makes the requests of the mix. Its method next is a vegeta.Targeter.
type requests struct {
	url       string
	key       string
	permanent []lead.ID // to retrieve and update

	mu        sync.Mutex
	deletable []lead.ID // each is deleted once
	sent      int
}

// prepareRequests makes the table, a key, and enough leads to send n requests.
func prepareRequests(ctx context.Context, endpoint string, n int) (*requests, error) {
	tenant := lead.Tenant{Account: "load", Mode: lead.Test}
	table := dynamo.New(dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("load", "load", ""),
	}, dynamo.Configure), tableName)
	if err := table.CreateTable(ctx); err != nil {
		return nil, err
	}
	key, record := apikey.NewKey(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := table.CreateKey(ctx, record); err != nil {
		return nil, err
	}
	changes, err := lead.ParseChanges([]byte(newLead))
	if err != nil {
		return nil, err
	}
	values := lead.Defaults()
	values.Apply(changes)
	var ids []lead.ID
	for range permanentLeads + n/20 + 1 {
		l, _, err := table.Create(ctx, tenant, values, lead.IdempotencyKey{})
		if err != nil {
			return nil, err
		}
		ids = append(ids, l.ID)
	}
	return &requests{key: key, permanent: ids[:permanentLeads], deletable: ids[permanentLeads:]}, nil
}

func (r *requests) next(t *vegeta.Target) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := collection + "/" + string(r.permanent[r.sent*7%permanentLeads])
	var method, body string
	switch i := r.sent * 7 % 20; { // 7 and 20 have no common factor, so the operations are mixed.
	case i < 12:
		method = http.MethodGet
	case i < 15:
		method, path, body = http.MethodPost, collection, newLead
	case i < 17:
		method, body = http.MethodPatch, change
	case i < 19:
		method, path = http.MethodGet, collection+"?limit=20&offset="+strconv.Itoa(r.sent%100)
	default:
		if len(r.deletable) == 0 {
			return errors.New("all leads that may be deleted are deleted")
		}
		method, path = http.MethodDelete, collection+"/"+string(r.deletable[0])
		r.deletable = r.deletable[1:]
	}
	r.sent++
	*t = vegeta.Target{Method: method, URL: r.url + path, Body: []byte(body), Header: http.Header{"Authorization": {"Bearer " + r.key}}}
	if body != "" {
		t.Header.Set("Content-Type", "application/json")
	}
	return nil
}
