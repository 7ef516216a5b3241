package faults

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"overplane.dev/leads/pkg/queue"
)

// A mutant behaves like the product with a deliberate mistake. It changes calls
// on their way from the product to the injector, so no source is patched.
type mutant struct {
	name string

	// operations is the beginning of the names of the operations whose cases
	// must detect the mutant.
	operations string

	mutate mutation

	*effects
}

// effects are what a mutant has done.
type effects struct {
	mu      sync.Mutex
	changed bool   // it made another call, or returned another response, than the product would
	invalid string // the error for a call that the database rejects as malformed
}

// A mutation makes other calls in place of one.
type mutation func(operation string, body []byte, send sender) (*http.Response, error)

type sender func(operation string, body []byte) (*http.Response, error)

// mutants returns all mutants. A test that fails with "changed no call" says
// that the pattern or the kind of item here no longer fits what the product
// sends.
func mutants() []mutant {
	all := []mutant{
		{name: "update without conditions", operations: "update", mutate: editCondition("UpdateItem", `^.*$`, "($0) OR attribute_exists(pk)")},
		{name: withoutNonce, operations: "update", mutate: editCondition("UpdateItem", nonceCondition, "$0 OR attribute_exists(pk)")},
		{name: "delete without token", operations: "delete", mutate: removeToken},
		{name: "delete that is not counted", operations: "delete", mutate: skipCounter},
		{name: "create that is counted outside of its transaction", operations: "create", mutate: countSeparately},
		{name: "create without conditions and token", operations: "create", mutate: chain(removeToken, createAgain)},
		{name: "idempotency record written before the transaction", operations: "create with key", mutate: writeRecordFirst},
		{name: "repeated key creates another lead", operations: "create with key", mutate: createAgain},
		{name: "repeated key of a batch creates another lead", operations: "batch", mutate: createAgain},

		{name: "repeated record creates another lead", operations: "in: ", mutate: createAgain},
		{name: "failed transaction reported as success", operations: "in: ", mutate: ignoreFailure("TransactWriteItems")},
		{name: "leads of a batch counted outside of the transaction", operations: "in: SQS", mutate: countSeparately},
		{name: "dead letter with a new id at each attempt", operations: "in: SQS", mutate: renewMessageIDs},
		{name: "rows of a file dropped when sending fails", operations: "in: S3", mutate: ignoreFailure("SendMessageBatch")},
		{name: "change dropped when publishing fails", operations: "out: changes", mutate: ignoreFailure("PutEvents")},
	}
	for i := range all {
		all[i].effects = &effects{}
	}
	return all
}

// deleteWithoutConditions returns a mutant that deletes a lead again.
func deleteWithoutConditions() *mutant {
	mutate := editCondition("Delete", `^.*$`, "($0) OR attribute_not_exists(pk)")
	return &mutant{name: "delete without conditions", operations: "delete", mutate: mutate, effects: &effects{}}
}

const withoutNonce = "update without nonce"

// nonceCondition matches the condition by which an update recognises an earlier
// attempt of itself. It stands in parentheses.
const nonceCondition = `NOT \(contains \(#\d+, :\d+\)\)`

func findMutant(name string) *mutant {
	all := mutants()
	return &all[slices.IndexFunc(all, func(m mutant) bool { return m.name == name })]
}

// call makes the calls of the mutant in place of one of the product.
func (m *mutant) call(operation string, body []byte, send sender) (*http.Response, error) {
	changed, invalid := false, ""
	var last *http.Response
	resp, err := m.mutate(operation, body, func(o string, b []byte) (*http.Response, error) {
		changed = changed || o != operation || !isSameJSON(b, body)
		r, err := send(o, b)
		if err == nil && r.StatusCode == 400 {
			text, err := readResponse(r, nil)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(text))
			if bytes.Contains(text, []byte("ValidationException")) {
				invalid = string(text)
			}
		}
		last = r
		return r, err
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = m.changed || changed || resp != last
	m.invalid = cmp.Or(m.invalid, invalid)
	return resp, err
}

// check returns an error if the mutant was not detected, or if the database
// rejected its calls as malformed, which is no detection.
func (m *mutant) check(detected bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	const adapt = "adapt it in mutants_test.go or items_test.go to what the product sends now"
	switch {
	case m.invalid != "":
		return fmt.Errorf("mutant %q: the database rejects its calls as malformed: %s: %s", m.name, adapt, m.invalid)
	case !m.changed:
		return fmt.Errorf("mutant %q: it changed no call: %s", m.name, adapt)
	case !detected:
		return fmt.Errorf("mutant %q: no case detected it; seed %d", m.name, *seed)
	}
	return nil
}

// editCondition replaces what matches the pattern in the condition of an
// UpdateItem, or of each Put or Delete of a transaction.
func editCondition(write, pattern, replacement string) mutation {
	compiled := regexp.MustCompile(pattern)
	edit := func(write object) {
		if condition, ok := write["ConditionExpression"].(string); ok {
			write["ConditionExpression"] = compiled.ReplaceAllString(condition, replacement)
		}
	}
	return func(operation string, body []byte, send sender) (*http.Response, error) {
		if operation == write {
			o := parse(body)
			edit(o)
			body = toJSON(o)
		} else if operation == "TransactWriteItems" {
			o := parse(body)
			for _, item := range transactItems(o) {
				if inner, ok := item.(object)[write].(object); ok {
					edit(inner)
				}
			}
			body = toJSON(o)
		}
		return send(operation, body)
	}
}

// createAgain writes leads and idempotency records also where they exist.
var createAgain = editCondition("Put", `^.*$`, "($0) OR attribute_exists(pk)")

// chain applies one mutation to the calls of another.
func chain(first, second mutation) mutation {
	return func(operation string, body []byte, send sender) (*http.Response, error) {
		return first(operation, body, func(operation string, body []byte) (*http.Response, error) {
			return second(operation, body, send)
		})
	}
}

func removeToken(operation string, body []byte, send sender) (*http.Response, error) {
	if operation == "TransactWriteItems" {
		o := parse(body)
		delete(o, "ClientRequestToken")
		body = toJSON(o)
	}
	return send(operation, body)
}

// skipCounter leaves the counter items as they are when a lead is deleted.
func skipCounter(operation string, body []byte, send sender) (*http.Response, error) {
	if operation == "TransactWriteItems" {
		o := parse(body)
		isDelete := func(write any) bool { return write.(object)["Delete"] != nil }
		if items := transactItems(o); slices.ContainsFunc(items, isDelete) {
			o["TransactItems"], _ = split(items, counterItem)
			body = toJSON(o)
		}
	}
	return send(operation, body)
}

// split separates the writes of a kind from the others.
func split(items []any, k kind) (others, ofKind []any) {
	for _, item := range items {
		if writeKind(item) == k {
			ofKind = append(ofKind, item)
		} else {
			others = append(others, item)
		}
	}
	return others, ofKind
}

// countSeparately writes counter items after the transaction.
func countSeparately(operation string, body []byte, send sender) (*http.Response, error) {
	if operation != "TransactWriteItems" {
		return send(operation, body)
	}
	o := parse(body)
	others, counters := split(transactItems(o), counterItem)
	o["TransactItems"] = others
	resp, err := send(operation, toJSON(o))
	for _, c := range counters {
		if err != nil || resp.StatusCode != 200 {
			break
		}
		resp, err = send("UpdateItem", toJSON(c.(object)["Update"]))
	}
	return resp, err
}

// writeRecordFirst writes the record of an idempotency key before the
// transaction.
func writeRecordFirst(operation string, body []byte, send sender) (*http.Response, error) {
	if operation != "TransactWriteItems" {
		return send(operation, body)
	}
	o := parse(body)
	items := transactItems(o)
	others, records := split(items, recordItem)
	if len(records) != 1 {
		return send(operation, body)
	}
	resp, err := send("PutItem", toJSON(records[0].(object)["Put"]))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 200 {
		refusal, err := readResponse(resp, nil)
		if err != nil {
			return nil, err
		}
		reasons := noReasons(len(items))
		at := slices.IndexFunc(items, func(item any) bool { return writeKind(item) == recordItem })
		reasons[at] = object{"Code": "ConditionalCheckFailed", "Item": parse(refusal)["Item"]}
		return cancelFor(reasons)(&call{})
	}
	o["TransactItems"] = others
	return send(operation, toJSON(o))
}

// ignoreFailure takes any response to an operation for success.
func ignoreFailure(of string) mutation {
	return func(operation string, body []byte, send sender) (*http.Response, error) {
		resp, err := send(operation, body)
		if operation != of || err == nil && resp.StatusCode == 200 {
			return resp, err
		}
		var events []any
		if operation == "PutEvents" && json.Unmarshal(body, &events) != nil {
			return nil, err
		}
		return respond(200, serviceResponse{make([]bool, len(events))})(&call{}) // without meaning to other services
	}
}

// renewMessageIDs gives each message another id each time it is sent.
func renewMessageIDs(operation string, body []byte, send sender) (*http.Response, error) {
	var messages []queue.Message
	if operation != "SendMessageBatch" || json.Unmarshal(body, &messages) != nil {
		return send(operation, body)
	}
	for i := range messages {
		messages[i].ID = rand.Text()
	}
	return send(operation, toJSON(messages))
}
