package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
)

// bare asks the database what the API asks of it, through the SDK and nothing
// else.
type bare struct {
	client *dynamodb.Client

	mu      sync.Mutex
	planned map[string][]answer // by method and path, in turn
}

// answer is what there is to do for a request.
type answer struct {
	calls []any // the inputs of the SDK's operations
	size  int   // of the body of the API's answer
}

// plan returns one for the requests that it returns too. It lets
// the store answer them over an engine that is for this alone, in the time that
// they will take under the load, and takes down what the store asks. The engine at
// the endpoint gets what the other had before the first request.
func plan(ctx context.Context, endpoint string, l load) (*bare, *requests, error) {
	db, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
	if err != nil {
		return nil, nil, err
	}
	defer db.Stop()
	recorded := &recorder{}
	table := dynamo.New(client(db.Endpoint(), recorded.configure), tableName)
	r, err := prepare(ctx, table, l.requests())
	if err != nil {
		return nil, nil, err
	}
	b := &bare{client: client(endpoint), planned: map[string][]answer{}}
	if err := b.do(ctx, recorded.take()); err != nil {
		return nil, nil, err
	}
	now := time.Now()
	table.Now = func() time.Time { return now }
	ahead := requests{kept: r.kept, doomed: r.doomed}
	for range l.requests() {
		now = now.Add(l.rate.Per / time.Duration(l.rate.Freq))
		var t vegeta.Target
		if err := ahead.next(&t); err != nil {
			return nil, nil, err
		}
		size, err := r.do(ctx, t.Method, t.URL)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", t.Method, t.URL, err)
		}
		name := t.Method + " " + t.URL
		b.planned[name] = append(b.planned[name], answer{recorded.take(), size})
	}
	return b, r, nil
}

// recorder takes the inputs of a client's operations.
type recorder struct{ inputs []any }

func (c *recorder) take() []any {
	taken := c.inputs
	c.inputs = nil
	return taken
}

func (c *recorder) configure(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Initialize.Add(c, middleware.After) })
}

// ID implements middleware.InitializeMiddleware.
func (c *recorder) ID() string { return "recorder" }

// HandleInitialize implements middleware.InitializeMiddleware.
func (c *recorder) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	if get, ok := in.Parameters.(*dynamodb.BatchGetItemInput); ok {
		for table, of := range get.RequestItems {
			of.Keys = slices.Clone(of.Keys) // lest it keeps the whole index that they are of
			get.RequestItems[table] = of
		}
	}
	c.inputs = append(c.inputs, in.Parameters)
	return next.HandleInitialize(ctx, in)
}

// do asks the store for what a request asks of the API, and returns how long
// the body of the API's answer is.
func (r *requests) do(ctx context.Context, method, target string) (size int, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return 0, err
	}
	id := lead.ID(u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	var leads []lead.Lead
	var one lead.Lead
	switch operationOf(method, u.Path) {
	case "create":
		one, err = r.create(ctx)
	case "retrieve":
		one, err = r.table.Retrieve(ctx, r.tenant, id)
	case "update":
		var changes []lead.Change
		if changes, err = lead.ParseChanges([]byte(change)); err == nil {
			one, err = r.table.Update(ctx, r.tenant, id, changes, lead.Precondition{})
		}
	case "delete":
		return 0, r.table.Delete(ctx, r.tenant, id, lead.Precondition{})
	case "list":
		var offset int64
		if offset, err = strconv.ParseInt(u.Query().Get("offset"), 10, 64); err != nil {
			return 0, err
		}
		leads, _, err = r.table.List(ctx, r.tenant, 20, offset)
		for i := range leads {
			size += len(leads[i].AppendJSON(nil)) + len(",")
		}
		return size + len(`{"data":[],"has_more":true,"total":450}`), err
	}
	return len(one.AppendJSON(nil)), err
}

// answer makes the calls planned for a request.
func (b *bare) answer(ctx context.Context, name string) (size int, err error) {
	b.mu.Lock()
	answers := b.planned[name]
	if len(answers) == 0 {
		b.mu.Unlock()
		return 0, fmt.Errorf("%s was not planned", name)
	}
	a := answers[0]
	answers[0], b.planned[name] = answer{}, answers[1:]
	b.mu.Unlock()
	return a.size, b.do(ctx, a.calls)
}

func (b *bare) do(ctx context.Context, calls []any) error {
	for _, input := range calls {
		if err := b.call(ctx, input); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) call(ctx context.Context, input any) (err error) {
	switch input := input.(type) {
	case *dynamodb.GetItemInput:
		_, err = b.client.GetItem(ctx, input)
	case *dynamodb.QueryInput:
		_, err = b.client.Query(ctx, input)
	case *dynamodb.BatchGetItemInput:
		_, err = b.client.BatchGetItem(ctx, input)
	case *dynamodb.UpdateItemInput:
		_, err = b.client.UpdateItem(ctx, input)
	case *dynamodb.TransactWriteItemsInput:
		_, err = b.client.TransactWriteItems(ctx, input)
	case *dynamodb.PutItemInput:
		_, err = b.client.PutItem(ctx, input)
	case *dynamodb.CreateTableInput:
		_, err = b.client.CreateTable(ctx, input)
	case *dynamodb.DescribeTableInput:
		_, err = b.client.DescribeTable(ctx, input)
	default:
		err = fmt.Errorf("the store makes a %T: add it here", input)
	}
	return err
}

// RoundTrip implements http.RoundTripper, so that the database alone can be
// asked. Its answers have no body.
func (b *bare) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := b.answer(r.Context(), r.Method+" "+r.URL.RequestURI()); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r,
	}, nil
}

// ServeHTTP implements http.Handler: the smallest server that could stand where
// the API does. Its answers are as long as the API's, and say nothing.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, err := b.answer(r.Context(), r.Method+" "+r.RequestURI)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	io.WriteString(w, strings.Repeat(" ", size)) //nolint:errcheck
}

// greeting is what the smallest server says when it listens.
type greeting struct {
	URL          string
	Kept, Doomed []lead.ID // those of its requests
}

// serveBare is the process of the smallest server, until ctx is done.
func serveBare(ctx context.Context, endpoint string, l load) error {
	b, r, err := plan(ctx, endpoint, l)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(greeting{"http://" + listener.Addr().String(), r.kept, r.doomed}); err != nil {
		return err
	}
	server := &http.Server{Handler: b}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
