// Command smallest is a server with the store of the lead API and almost
// nothing else: it checks no key and no body, limits nothing and writes no log.
// The load test compares "leads serve" with it.
//
//	DYNAMODB_ENDPOINT=URL smallest ADDRESS
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

const gcPercent = 400 // as in leads serve

func main() {
	debug.SetGCPercent(gcPercent)
	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("load", "load", ""),
	}, dynamo.Configure)
	s := server{dynamo.New(client, os.Getenv("LEADS_TABLE")), lead.Tenant{Account: "load", Mode: lead.Test}}
	http.HandleFunc("GET /api/crm/lead", answer(s.list))
	http.HandleFunc("POST /api/crm/lead", answer(s.create))
	http.HandleFunc("GET /api/crm/lead/{id}", answer(s.retrieve))
	http.HandleFunc("PATCH /api/crm/lead/{id}", answer(s.update))
	http.HandleFunc("DELETE /api/crm/lead/{id}", answer(s.delete))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}

type server struct {
	table  *dynamo.Table
	tenant lead.Tenant
}

// answer sends the JSON that a function returns.
func answer(f func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := f(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
}

func (s server) list(r *http.Request) ([]byte, error) {
	limit, limitErr := strconv.Atoi(r.FormValue("limit"))
	offset, offsetErr := strconv.ParseInt(r.FormValue("offset"), 10, 64)
	if err := errors.Join(limitErr, offsetErr); err != nil {
		return nil, err
	}
	page, err := s.table.List(r.Context(), s.tenant, lead.ListQuery{Limit: limit, Offset: offset})
	var body []byte
	for i := range page.Leads {
		body = page.Leads[i].AppendJSON(body)
	}
	return body, err
}

func (s server) create(r *http.Request) ([]byte, error) {
	changes, err := readChanges(r)
	if err != nil {
		return nil, err
	}
	values := lead.Defaults()
	values.Apply(changes)
	l, _, err := s.table.Create(r.Context(), s.tenant, values, lead.IdempotencyKey{})
	return l.AppendJSON(nil), err
}

func (s server) retrieve(r *http.Request) ([]byte, error) {
	l, err := s.table.Retrieve(r.Context(), s.tenant, lead.ID(r.PathValue("id")))
	return l.AppendJSON(nil), err
}

func (s server) update(r *http.Request) ([]byte, error) {
	changes, err := readChanges(r)
	if err != nil {
		return nil, err
	}
	l, err := s.table.Update(r.Context(), s.tenant, lead.ID(r.PathValue("id")), changes, lead.Precondition{})
	return l.AppendJSON(nil), err
}

func (s server) delete(r *http.Request) ([]byte, error) {
	return nil, s.table.Delete(r.Context(), s.tenant, lead.ID(r.PathValue("id")), lead.Precondition{})
}

func readChanges(r *http.Request) ([]lead.Change, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return lead.ParseChanges(body)
}
