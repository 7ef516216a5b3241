package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// bare asks the database what the API asks of it, through the SDK and nothing
// else. What it sends is planned before: the inputs of the SDK's operations
// that the store makes for each request of the mix.
type bare struct {
	client *dynamodb.Client

	mu      sync.Mutex
	planned map[string][][]any // by method and URL: for each request, the inputs of its calls
}

// plan returns one for the next n of these requests.
func plan(ctx context.Context, endpoint string, r *requests, n int) (*bare, error) {
	b := &bare{
		client: client(endpoint, func(o *dynamodb.Options) {
			o.HTTPClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
		}),
		planned: map[string][][]any{},
	}
	recorded := &recorder{}
	r.table = dynamo.New(client(endpoint, dynamo.Configure, recorded.configure), tableName)
	ahead := requests{url: r.url, kept: r.kept, doomed: r.doomed}
	for range n {
		var t vegeta.Target
		if err := ahead.next(&t); err != nil {
			return nil, err
		}
		recorded.inputs = nil
		if err := r.do(ctx, t.Method, t.URL); err != nil {
			return nil, fmt.Errorf("%s %s: %w", t.Method, t.URL, err)
		}
		name := t.Method + " " + t.URL
		b.planned[name] = append(b.planned[name], recorded.inputs)
	}
	return b, nil
}

// recorder takes the inputs of a client's operations. Reads go on to the
// database, because what is read next depends on them; writes are only said to
// have been done.
type recorder struct{ inputs []any }

func (c *recorder) configure(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Initialize.Add(c, middleware.After) })
}

// ID implements middleware.InitializeMiddleware.
func (c *recorder) ID() string { return "recorder" }

// HandleInitialize implements middleware.InitializeMiddleware.
func (c *recorder) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, _ middleware.Metadata, err error) {
	c.inputs = append(c.inputs, in.Parameters)
	switch input := in.Parameters.(type) {
	case *dynamodb.TransactWriteItemsInput:
		out.Result = &dynamodb.TransactWriteItemsOutput{}
	case *dynamodb.UpdateItemInput:
		out.Result = &dynamodb.UpdateItemOutput{Attributes: input.Key}
	default:
		return next.HandleInitialize(ctx, in)
	}
	return out, middleware.Metadata{}, nil
}

// do asks the store for what a request asks of the API.
func (r *requests) do(ctx context.Context, method, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	id := lead.ID(u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	switch operationOf(method, u.Path) {
	case "create":
		_, err = r.create(ctx)
	case "retrieve":
		_, err = r.table.Retrieve(ctx, r.tenant, id)
	case "update":
		var changes []lead.Change
		if changes, err = lead.ParseChanges([]byte(change)); err == nil {
			_, err = r.table.Update(ctx, r.tenant, id, changes, lead.Precondition{})
		}
	case "delete":
		err = r.table.Delete(ctx, r.tenant, id, lead.Precondition{})
	case "list":
		var offset int64
		if offset, err = strconv.ParseInt(u.Query().Get("offset"), 10, 64); err == nil {
			_, _, err = r.table.List(ctx, r.tenant, 20, offset)
		}
	}
	return err
}

// RoundTrip implements http.RoundTripper. Its answers have no body.
func (b *bare) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.Method + " " + r.URL.String()
	b.mu.Lock()
	calls := b.planned[name]
	if len(calls) == 0 {
		b.mu.Unlock()
		return nil, fmt.Errorf("%s was not planned", name)
	}
	b.planned[name] = calls[1:]
	b.mu.Unlock()
	for _, input := range calls[0] {
		if err := b.call(r.Context(), input); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r,
	}, nil
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
	default:
		err = fmt.Errorf("the store makes a %T: add it here", input)
	}
	return err
}
