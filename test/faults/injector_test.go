package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// call is one attempt of a call of the database, the queue or the event bus.
type call struct {
	operation string // such as UpdateItem
	body      []byte
	request   *http.Request
	transport http.RoundTripper
}

// send has the database execute the call, unless the context's conflict
// detector refuses it, and returns the response.
func (c *call) send() (*http.Response, error) {
	if d := conditionsOf(c.request.Context()).conflicts; d != nil {
		return d.send(c)
	}
	return c.execute()
}

func (c *call) execute() (*http.Response, error) { return c.transport.RoundTrip(c.newRequest()) }

func (c *call) newRequest() *http.Request {
	r := c.request.Clone(c.request.Context())
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+c.operation)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	return r
}

// writes returns the number of items that a transaction writes, and 0 for other
// calls.
func (c *call) writes() int {
	if c.operation != "TransactWriteItems" {
		return 0
	}
	return len(transactItems(parse(c.body)))
}

// An injector sends a call, or lets it fail in some way.
type injector func(*call) (*http.Response, error)

// conditions are what a context says about the database calls under it.
type conditions struct {
	inject    injector
	timeout   time.Duration   // of an attempt under the injector, if not 0
	scope     context.Context // the injector is removed when it ends
	mutant    *mutant
	conflicts *conflictDetector
}

type conditionsKey struct{}

func conditionsOf(ctx context.Context) conditions {
	c, _ := ctx.Value(conditionsKey{}).(conditions)
	return c
}

func (c conditions) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, conditionsKey{}, c)
}

// withInjector returns a context with an injector that does not let calls hang. The
// injector is removed when ctx ends, also for calls that outlive ctx.
func withInjector(ctx context.Context, i injector) context.Context {
	c := conditionsOf(ctx)
	c.inject, c.scope = i, ctx
	return c.in(ctx)
}

// withFaults is withInjector for an injector that may let calls hang.
func withFaults(ctx context.Context, i injector) context.Context {
	c := conditionsOf(ctx)
	c.inject, c.scope, c.timeout = i, ctx, attemptTimeout
	return c.in(ctx)
}

// intercept sends a request under the conditions of its context. The mutant
// comes first: the calls that it makes can fail, too.
func intercept(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	conditions := conditionsOf(r.Context())
	if conditions.scope != nil && conditions.scope.Err() != nil {
		conditions.inject, conditions.timeout = nil, 0
	}
	if conditions.timeout > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), conditions.timeout)
		defer cancel() // the response's body has been read
		r = r.WithContext(ctx)
	}
	send := func(operation string, body []byte) (*http.Response, error) {
		c := &call{operation, body, r, next}
		if conditions.inject != nil {
			return conditions.inject(c)
		}
		return c.send()
	}
	if conditions.mutant != nil {
		return conditions.mutant.call(operation, body, send)
	}
	return send(operation, body)
}

// fault is one way in which a call can fail.
type fault struct {
	name      string
	inject    injector
	appliesTo func(*call) bool
	hidden    bool // the database executes the call, and the response does not say so
}

func anyCall(*call) bool { return true }

func isOperation(operations ...string) func(*call) bool {
	return func(c *call) bool { return slices.Contains(operations, c.operation) }
}

func networkError(op string, errno syscall.Errno) injector {
	return failWith(&net.OpError{Op: op, Net: "tcp", Err: errno})
}

// faultsOf returns all faults that apply to this call.
func faultsOf(c *call) (applicable []fault) {
	all := []fault{
		{"no connection", networkError("dial", syscall.ECONNREFUSED), anyCall, false},
		{"connection reset, not executed", networkError("write", syscall.ECONNRESET), anyCall, false},
		{"connection reset, executed", executeThen(networkError("read", syscall.ECONNRESET)), anyCall, true},
		{"connection closed, executed", executeThen(failWith(io.EOF)), anyCall, true},
		{"response cut in half", truncate(0.5, io.ErrUnexpectedEOF), anyCall, true},
		{"response without a body", truncate(0, io.ErrUnexpectedEOF), anyCall, true},
		{"timeout, not executed", hang, anyCall, false},
		{"timeout, executed", executeThen(hang), anyCall, true},
		{"500, not executed", databaseError(500, "InternalServerError"), anyCall, false},
		{"500, executed", executeThen(databaseError(500, "InternalServerError")), anyCall, true},
		{"503, not executed", databaseError(503, "ServiceUnavailable"), anyCall, false},
		{"503, executed", executeThen(databaseError(503, "ServiceUnavailable")), anyCall, true},
		{"table throttled", databaseError(400, "ProvisionedThroughputExceededException"), anyCall, false},
		{"account throttled", databaseError(400, "ThrottlingException"), anyCall, false},
		{"request limit exceeded", databaseError(400, "RequestLimitExceeded"), anyCall, false},
		{"executed twice", executeThen((*call).send), anyCall, false},
		{"transaction in progress", databaseError(400, "TransactionInProgressException"), isOperation("TransactWriteItems"), false},
		{"conflict with a transaction", databaseError(400, "TransactionConflictException"), isOperation("UpdateItem", "PutItem", "DeleteItem"), false},
		{"all keys unprocessed", unprocessed(true), isOperation("BatchGetItem"), false},
		{"one key unprocessed", unprocessed(false), isOperation("BatchGetItem"), false},
		{"last message refused", refuseLast(throttledMessage), isOperation("SendMessageBatch"), false},
		{"last event refused", refuseLast(lastEventRefused), isOperation("PutEvents"), false},
	}
	for i := range c.writes() {
		for _, code := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
			all = append(all, fault{fmt.Sprintf("%s at write %d", code, i+1), cancelTransaction(i, code), isOperation("TransactWriteItems"), false})
		}
	}
	for _, f := range all {
		if f.appliesTo(c) {
			// On a busy machine a call may time out and be sent again. Then another
			// operation can have the number at which this fault was to happen.
			inject := f.inject
			f.inject = func(c *call) (*http.Response, error) {
				if f.appliesTo(c) {
					return inject(c)
				}
				return c.send()
			}
			applicable = append(applicable, f)
		}
	}
	return applicable
}

func failWith(err error) injector {
	return func(*call) (*http.Response, error) { return nil, err }
}

// hang waits until the attempt times out or the caller gives up.
func hang(c *call) (*http.Response, error) {
	<-c.request.Context().Done()
	return nil, c.request.Context().Err()
}

// executeThen has the database execute the call, and drops the response.
func executeThen(then injector) injector {
	return func(c *call) (*http.Response, error) {
		if _, err := readResponse(c.send()); err != nil {
			return nil, err
		}
		return then(c)
	}
}

// readResponse reads and closes the body of a response.
func readResponse(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	return body, errors.Join(err, resp.Body.Close())
}

// truncate returns this part of the response's body and then fails.
func truncate(part float64, failure error) injector {
	return func(c *call) (*http.Response, error) {
		resp, err := c.send()
		body, err := readResponse(resp, err)
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:int(part*float64(len(body)))]), failingReader{failure}))
		return resp, nil
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// cutRequest sends this part of the request on a connection of its own, closes
// it, and resets the caller's connection.
func cutRequest(part float64) injector {
	return func(c *call) (*http.Response, error) {
		whole, err := httputil.DumpRequestOut(c.newRequest(), true)
		if err != nil {
			return nil, err
		}
		conn, err := net.Dial("tcp", c.request.URL.Host)
		if err != nil {
			return nil, err
		}
		conn.Write(whole[:int(part*float64(len(whole)))])
		return nil, errors.Join(syscall.ECONNRESET, conn.Close())
	}
}

// delayResponse sends the call and holds its response back.
func delayResponse(delay time.Duration) injector {
	return func(c *call) (*http.Response, error) {
		resp, err := c.send()
		time.Sleep(delay)
		return resp, err
	}
}

// executeLate has the database execute the call after the caller gave up.
func executeLate(delay time.Duration) injector {
	return func(c *call) (*http.Response, error) {
		_, gaveUp := hang(c)
		time.Sleep(delay)
		_, err := readResponse(c.send())
		return nil, errors.Join(gaveUp, err)
	}
}

// Names that appear in the database's errors, and must not appear in a response
// or a log.
const (
	internalTable   = "table/prove-internal-table"
	internalRequest = "PROVEREQUESTID0123456789"
)

// databaseError returns an error of DynamoDB.
func databaseError(status int, code string) injector {
	return respond(status, object{
		"__type":  "com.amazonaws.dynamodb.v20120810#" + code,
		"message": "a message of the database about " + internalTable,
	})
}

// cancelTransaction cancels a transaction for a reason at one of its writes.
func cancelTransaction(at int, code string) injector {
	return func(c *call) (*http.Response, error) {
		reasons := noReasons(max(c.writes(), at+1))
		reasons[at] = object{"Code": code, "Message": "a reason about " + internalTable}
		return cancelFor(reasons)(c)
	}
}

// noReasons are the cancellation reasons of writes that were not to blame.
func noReasons(writes int) []object { return slices.Repeat([]object{{"Code": "None"}}, writes) }

func cancelFor(reasons []object) injector {
	return respond(400, object{
		"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
		"Message":             "Transaction cancelled, please refer cancellation reasons for " + internalTable,
		"CancellationReasons": reasons,
	})
}

// respond returns a response without sending the call.
func respond(status int, body any) injector {
	return func(c *call) (*http.Response, error) {
		text := toJSON(body)
		return &http.Response{
			StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{
				"Content-Type":     {"application/x-amz-json-1.0"},
				"X-Amzn-Requestid": {internalRequest},
			},
			Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)), Request: c.request,
		}, nil
	}
}

// unprocessed returns all keys of a batch, or the last one, as not yet read.
func unprocessed(all bool) injector {
	return func(c *call) (*http.Response, error) {
		request, left := parse(c.body), object{}
		for table, wanted := range request["RequestItems"].(object) {
			wanted := wanted.(object)
			keys := wanted["Keys"].([]any)
			read := len(keys) - 1
			if all {
				read = 0
			}
			left[table] = object{"Keys": keys[read:], "ConsistentRead": wanted["ConsistentRead"]}
			wanted["Keys"] = keys[:read]
			if read == 0 {
				return respond(200, object{"Responses": object{}, "UnprocessedKeys": left})(c)
			}
		}
		c.body = toJSON(request)
		resp, err := c.send()
		if err != nil || resp.StatusCode != 200 {
			return resp, err
		}
		body, err := readResponse(resp, nil)
		if err != nil {
			return nil, err
		}
		answer := parse(body)
		answer["UnprocessedKeys"] = left
		return respond(200, answer)(c)
	}
}

// refuseLast has all items of the sent list accepted but the last. response
// returns the response for a list of this length.
func refuseLast(response func(items int) injector) injector {
	return func(c *call) (*http.Response, error) {
		var items []json.RawMessage
		if err := json.Unmarshal(c.body, &items); err != nil {
			return nil, err
		}
		c.body = toJSON(items[:len(items)-1])
		return executeThen(response(len(items)))(c)
	}
}

func throttledMessage(int) injector { return databaseError(400, "Throttled") }

func lastEventRefused(items int) injector {
	refused := make([]bool, items)
	refused[items-1] = true
	return respond(200, serviceResponse{refused})
}

// numbered calls inject with the number of each call, from 0.
func numbered(inject func(n int, c *call) (*http.Response, error)) injector {
	var calls atomic.Int64
	return func(c *call) (*http.Response, error) { return inject(int(calls.Add(1)-1), c) }
}

// startingAt sends the calls before the nth. From there on it uses the injectors
// first, one for each call, and then rest for all others.
func startingAt(n int, rest injector, first ...injector) injector {
	return numbered(func(i int, c *call) (*http.Response, error) {
		switch i -= n; {
		case i < 0:
			return c.send()
		case i < len(first):
			return first[i](c)
		}
		return rest(c)
	})
}
