package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/fakeaws"
)

const (
	tableName  = "leads"
	collection = "/api/crm/lead"

	amazonRoots = "pkg/awsenv/amazon-roots.pem"

	// sample is a lead as clients send it.
	sample = `{"lead_name":"Ada Lovelace","company_name":"Example Corp","email_id":"ada@example.com","mobile_no":"+44 20 7946 0000",` +
		`"city":"London","country":"United Kingdom","industry":"Software","website":"https://example.com","annual_revenue":1250000}`
)

// systemRoots are the usual places of a Linux system's root certificates.
var systemRoots = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}

var tenant = lead.Tenant{Account: "cold", Mode: lead.Test}

// services are what functions use: a database with leads and other services of
// AWS, both behind TLS, and an API key.
type services struct {
	table    *dynamo.Table
	key      string
	existing lead.ID // a lead that nothing changes

	engine        *localdb.Engine
	server        *httptest.Server
	shippedRoots  string // file: the certificates in the package, and the server's
	ordinaryRoots string // file: all certificates of this system, and the server's
}

func startServices(ctx context.Context, dir string) (*services, error) {
	engine, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &services{engine: engine}
	s.server = httptest.NewTLSServer(route(engine.Endpoint()))
	if err := s.prepare(ctx, dir); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *services) stop() {
	s.server.Close()
	s.engine.Stop()
}

// route sends requests for DynamoDB to the engine, and others to fakeaws.
func route(engine string) http.Handler {
	target, err := url.Parse(engine)
	if err != nil {
		panic(err) // An engine's own address is valid.
	}
	database, others := httputil.NewSingleHostReverseProxy(target), fakeaws.New()
	database.ErrorLog = log.New(io.Discard, "", 0) // of functions that are stopped during a request
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_") {
			database.ServeHTTP(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

// prepare makes the table, a key, a page of leads and the files of roots.
func (s *services) prepare(ctx context.Context, dir string) error {
	endpoint := s.engine.Endpoint()
	s.table = dynamo.New(dynamodb.New(dynamodb.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("cold", "cold", ""),
	}, dynamo.Configure), tableName)
	if err := s.table.CreateTable(ctx); err != nil {
		return err
	}
	key, record := apikey.NewKey(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	s.key = key
	if err := s.table.CreateKey(ctx, record); err != nil {
		return err
	}
	for range 21 {
		id, err := s.createLead(ctx)
		if err != nil {
			return err
		}
		s.existing = id
	}
	s.shippedRoots, s.ordinaryRoots = filepath.Join(dir, "shipped.pem"), filepath.Join(dir, "ordinary.pem")
	if err := s.writeRoots(s.shippedRoots, amazonRoots); err != nil {
		return err
	}
	return s.writeRoots(s.ordinaryRoots, systemRoots...)
}

// writeRoots writes a file of the server's certificate and of the first of the
// other files that exists.
func (s *services) writeRoots(path string, others ...string) (err error) {
	var text []byte
	for _, other := range others {
		if text, err = os.ReadFile(other); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	return os.WriteFile(path, bytes.Join([][]byte{own, text}, []byte("\n")), 0o644)
}

func (s *services) createLead(ctx context.Context) (lead.ID, error) {
	changes, err := lead.ParseChanges([]byte(sample))
	if err != nil {
		return "", err
	}
	values := lead.Defaults()
	values.Apply(changes)
	created, _, err := s.table.Create(ctx, tenant, values, lead.IdempotencyKey{})
	return created.ID, err
}

// env returns the environment of a function, as Lambda and template.yaml set it.
func (s *services) env(function string) []string {
	env := []string{
		"AWS_ENDPOINT_URL=" + s.server.URL, "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=cold", "AWS_SECRET_ACCESS_KEY=cold", "AWS_SESSION_TOKEN=" + strings.Repeat("cold", 200),
		"LEADS_TABLE=" + tableName, "LEADS_ACCOUNT=" + tenant.Account, "LEADS_MODE=" + string(tenant.Mode), "LEADS_BUS=leads",
		"LEADS_QUEUE_URL=" + s.server.URL + "/queue", "LEADS_DEAD_LETTERS_URL=" + s.server.URL + "/dead-letters.fifo",
	}
	if function == ordinary {
		return append(env, "SSL_CERT_FILE="+s.ordinaryRoots)
	}
	return append(env, "SSL_CERT_FILE="+s.shippedRoots, "SSL_CERT_DIR=/nonexistent", "GOMAXPROCS=1")
}

// event is the first event of a function, and a part of the right answer.
type event struct {
	payload []byte
	answer  string
}

// eventFor returns the event for a function. Updates and deletes each get a new
// lead: one that was just updated costs more to read.
func (s *services) eventFor(ctx context.Context, function string) (event, error) {
	switch function {
	case empty:
		return event{s.request("GET", "", ""), "{}"}, nil
	case ordinary, "retrieve-lead":
		return event{s.request("GET", s.existing, ""), "Ada Lovelace"}, nil
	case "create-lead":
		return event{s.request("POST", "", sample), `"statusCode":201`}, nil
	case "list-leads":
		return event{s.request("GET", "", ""), `\"has_more\":true`}, nil
	case "update-lead":
		id, err := s.createLead(ctx)
		return event{s.request("PATCH", id, `{"status":"Open"}`), `\"status\":\"Open\"`}, err
	case "delete-lead":
		id, err := s.createLead(ctx)
		return event{s.request("DELETE", id, ""), `\"deleted\":true`}, err
	case "upsert-lead":
		address := rand.Text() + "@example.com"
		return event{s.request("PUT", "", strings.Replace(sample, "ada@example.com", address, 1)), `"statusCode":201`}, nil
	case "batch-leads":
		return event{s.request("POST", "batch", `{"operations":[{"method":"create","lead":`+sample+`}]}`), `\"status\":201`}, nil
	case "unmatched":
		return event{s.request("PATCH", "", ""), `"statusCode":405`}, nil
	case "ingest-leads":
		return event{[]byte(`{"leads":[` + sample + `]}`), `"id":"lead_`}, nil
	case "audit-leads":
		return event{[]byte(`{"time":"2026-03-01T12:00:00Z","detail":{}}`), "null"}, nil
	case "publish-changes":
		payload, err := os.ReadFile("events/stream.json")
		return event{payload, `"batchItemFailures":[]`}, err
	}
	return event{}, fmt.Errorf("there is no event for this function: add one to tools/bench/cold/services.go")
}

// request returns the event of API Gateway for a request of a lead, or of the
// collection when id is empty.
func (s *services) request(method string, id lead.ID, body string) []byte {
	path, query := collection, ""
	if method == "PUT" {
		query = "match=email_id"
	}
	if id != "" {
		path += "/" + string(id)
	}
	request := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: method + " " + path, RawPath: path, RawQueryString: query, Body: body,
		PathParameters: map[string]string{"id": string(id)},
		Headers: map[string]string{
			"accept": "*/*", "authorization": "Bearer " + s.key, "content-type": "application/json", "content-length": fmt.Sprint(len(body)),
			"host": "abcdefghij.execute-api.eu-west-1.amazonaws.com", "user-agent": "curl/8.5.0",
			"x-amzn-trace-id": "Root=1-65a4f0c8-0123456789abcdef01234567",
			"x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443", "x-forwarded-proto": "https",
		},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			AccountID: "123456789012", APIID: "abcdefghij", DomainName: "abcdefghij.execute-api.eu-west-1.amazonaws.com",
			Stage: "$default", RequestID: "JKJaXmPLvHcESHA=", Time: "15/Jan/2024:09:30:00 +0000", TimeEpoch: 1705311000000,
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: method, Path: path, Protocol: "HTTP/1.1", SourceIP: "192.0.2.1", UserAgent: "curl/8.5.0",
			},
		},
	}
	payload, err := json.Marshal(request)
	if err != nil {
		panic(err) // Strings and numbers have JSON.
	}
	return payload
}
