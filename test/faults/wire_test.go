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
	"syscall"
)

// exchange is a request to the database on its way.
type exchange struct {
	operation string // such as UpdateItem
	ask       []byte
	request   *http.Request
	transport http.RoundTripper
}

// send has the database execute the request and returns its answer.
func (x *exchange) send() (*http.Response, error) {
	if r, ok := x.request.Context().Value(refereeKey{}).(*referee); ok {
		return r.send(x)
	}
	return x.execute()
}

func (x *exchange) execute() (*http.Response, error) {
	r := x.request.Clone(x.request.Context())
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+x.operation)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.ask)), int64(len(x.ask))
	return x.transport.RoundTrip(r)
}

// writes returns how many items a transaction writes, and 0 for other calls.
func (x *exchange) writes() int {
	var transaction struct{ TransactItems []json.RawMessage }
	if x.operation == "TransactWriteItems" && json.Unmarshal(x.ask, &transaction) != nil {
		panic("a transaction that is no JSON")
	}
	return len(transaction.TransactItems)
}

// A wire carries an exchange, or does something worse to it.
type wire func(*exchange) (*http.Response, error)

type (
	wireKey  struct{}
	buildKey struct{}
)

// over returns a context whose requests to the database go over the wire.
func over(ctx context.Context, w wire) context.Context {
	return context.WithValue(ctx, wireKey{}, w)
}

// throughWires is a dynamotest.Meter's Fault: it sends what the build of the
// context makes of the request over the wire of the context.
func throughWires(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	ask, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	carry := wire((*exchange).send)
	if w, ok := r.Context().Value(wireKey{}).(wire); ok {
		carry = w
	}
	send := func(operation string, ask []byte) (*http.Response, error) {
		return carry(&exchange{operation, ask, r, next})
	}
	if b, ok := r.Context().Value(buildKey{}).(build); ok && b != nil {
		return b(operation, ask, send)
	}
	return send(operation, ask)
}

// fault is one thing that can go wrong with a request.
type fault struct {
	name string
	wire wire

	// may limits it to some operations of the database.
	may func(x *exchange) bool

	// done says that the database executes the request, although the answer
	// does not say so.
	done bool
}

func always(*exchange) bool { return true }

func of(operations ...string) func(*exchange) bool {
	return func(x *exchange) bool {
		for _, o := range operations {
			if x.operation == o {
				return true
			}
		}
		return false
	}
}

// faults are all that can go wrong with this request.
func faults(x *exchange) (possible []fault) {
	all := []fault{
		{"no connection", fails(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}), always, false},
		{"connection reset, not done", fails(&net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}), always, false},
		{"connection reset, done", after(fails(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET})), always, true},
		{"connection closed, done", after(fails(io.EOF)), always, true},
		{"answer torn", torn(0.5), always, true},
		{"answer torn at its start", torn(0), always, true},
		{"no answer in time, not done", hangs, always, false},
		{"no answer in time, done", after(hangs), always, true},
		{"500, not done", says(500, "InternalServerError"), always, false},
		{"500, done", after(says(500, "InternalServerError")), always, true},
		{"503, not done", says(503, "ServiceUnavailable"), always, false},
		{"503, done", after(says(503, "ServiceUnavailable")), always, true},
		{"table throttled", says(400, "ProvisionedThroughputExceededException"), always, false},
		{"account throttled", says(400, "ThrottlingException"), always, false},
		{"request limit", says(400, "RequestLimitExceeded"), always, false},
		{"sent twice", after((*exchange).send), always, true},
		{"transaction in progress", says(400, "TransactionInProgressException"), of("TransactWriteItems"), false},
		{"met a transaction", says(400, "TransactionConflictException"), of("UpdateItem", "PutItem", "DeleteItem"), false},
		{"all keys unprocessed", unprocessed(1), of("BatchGetItem"), false},
		{"a key unprocessed", unprocessed(0), of("BatchGetItem"), false},
		{"the last message refused", butTheLast(says(400, "Throttled")), of("SendMessageBatch"), false},
		{"the last event refused", lastRefused, of("PutEvents"), false},
	}
	for i := range x.writes() {
		for _, code := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
			all = append(all, fault{fmt.Sprintf("%s at write %d", code, i+1), cancelled(i, code), of("TransactWriteItems"), false})
		}
	}
	for _, f := range all {
		if f.may(x) {
			// On a busy machine a request may take too long and be sent again: then
			// others have the numbers after it.
			happens := f.wire
			f.wire = func(x *exchange) (*http.Response, error) {
				if f.may(x) {
					return happens(x)
				}
				return x.send()
			}
			possible = append(possible, f)
		}
	}
	return possible
}

// fails breaks with this error.
func fails(err error) wire {
	return func(*exchange) (*http.Response, error) { return nil, err }
}

// hangs until the time of the attempt is up.
func hangs(x *exchange) (*http.Response, error) {
	<-x.request.Context().Done()
	return nil, x.request.Context().Err()
}

// after has the database execute the request and loses the answer.
func after(then wire) wire {
	return func(x *exchange) (*http.Response, error) {
		resp, err := x.send()
		if err != nil {
			return nil, err
		}
		if err := discard(resp); err != nil {
			return nil, err
		}
		return then(x)
	}
}

func discard(resp *http.Response) error {
	_, err := io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// torn breaks off the answer after this part of it. Its Content-Length stays.
func torn(part float64) wire {
	return func(x *exchange) (*http.Response, error) {
		resp, err := x.send()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:int(part*float64(len(body)))]), broken{}))
		return resp, nil
	}
}

// broken is the end of a body that is shorter than its Content-Length.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Names that the database says and that no client and no log may see.
const (
	internalTable   = "table/prove-internal-table"
	internalRequest = "PROVEREQUESTID0123456789"
)

// says answers with an error of the database.
func says(status int, code string) wire {
	return answers(status, map[string]any{
		"__type":  "com.amazonaws.dynamodb.v20120810#" + code,
		"message": "a message of the database about " + internalTable,
	})
}

func cancelled(at int, code string) wire {
	return func(x *exchange) (*http.Response, error) {
		reasons := make([]map[string]string, max(x.writes(), at+1))
		for i := range reasons {
			reasons[i] = map[string]string{"Code": "None"}
		}
		reasons[at] = map[string]string{"Code": code, "Message": "a reason about " + internalTable}
		return answers(400, map[string]any{
			"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
			"Message":             "Transaction cancelled, please refer cancellation reasons for " + internalTable,
			"CancellationReasons": reasons,
		})(x)
	}
}

func answers(status int, body any) wire {
	return func(x *exchange) (*http.Response, error) {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		return &http.Response{
			StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{
				"Content-Type":     {"application/x-amz-json-1.0"},
				"X-Amzn-Requestid": {internalRequest},
			},
			Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)), Request: x.request,
		}, nil
	}
}

// unprocessed answers for all keys of a batch but one, or for none, that they
// are still to be read.
func unprocessed(all int) wire {
	return func(x *exchange) (*http.Response, error) {
		var ask struct{ RequestItems map[string]map[string]any }
		if err := json.Unmarshal(x.ask, &ask); err != nil {
			return nil, err
		}
		left := map[string]any{}
		for table, wanted := range ask.RequestItems {
			keys := wanted["Keys"].([]any)
			now := len(keys) - 1
			if all == 1 {
				now = 0
			}
			later := map[string]any{"Keys": keys[now:], "ConsistentRead": wanted["ConsistentRead"]}
			left[table] = later
			wanted["Keys"] = keys[:now]
			if now == 0 {
				return answers(200, map[string]any{"Responses": map[string]any{}, "UnprocessedKeys": left})(x)
			}
		}
		var err error
		if x.ask, err = json.Marshal(ask); err != nil {
			return nil, err
		}
		resp, err := x.send()
		if err != nil || resp.StatusCode != 200 {
			return resp, err
		}
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return nil, err
		}
		resp.Body.Close()
		answer["UnprocessedKeys"] = left
		return answers(200, answer)(x)
	}
}

// butTheLast has the list that is sent carried out but for its last member, and
// then goes on over another wire.
func butTheLast(then wire) wire {
	return func(x *exchange) (*http.Response, error) {
		var list []json.RawMessage
		if err := json.Unmarshal(x.ask, &list); err != nil {
			return nil, err
		}
		x.ask = text(list[:len(list)-1])
		return after(then)(x)
	}
}

// lastRefused has a bus refuse the last event of a request.
func lastRefused(x *exchange) (*http.Response, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(x.ask, &list); err != nil {
		return nil, err
	}
	refused := make([]bool, len(list))
	refused[len(list)-1] = true
	return butTheLast(answers(200, busAnswer{refused}))(x)
}

// numbered calls at with the number of each exchange, from 0.
func numbered(at func(n int, x *exchange) (*http.Response, error)) wire {
	n := -1
	return func(x *exchange) (*http.Response, error) {
		n++
		return at(n, x)
	}
}

// script carries all exchanges but some from the nth on, each of which goes
// over one of these wires.
func script(n int, wires ...wire) wire {
	return numbered(func(i int, x *exchange) (*http.Response, error) {
		if i < n || i-n >= len(wires) {
			return x.send()
		}
		return wires[i-n](x)
	})
}

// blackout lets nothing through from the nth exchange on, which goes over this
// wire.
func blackout(n int, first wire) wire {
	return numbered(func(i int, x *exchange) (*http.Response, error) {
		switch {
		case i < n:
			return x.send()
		case i == n:
			return first(x)
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	})
}
