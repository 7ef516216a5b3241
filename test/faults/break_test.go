package faults

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"overplane.dev/leads/pkg/ingest"
)

// A build sends what a product with some mistake would send in place of a
// request of ours. It is over the wire: whatever it sends can fail.
type build func(operation string, ask []byte, send sender) (*http.Response, error)

type sender func(operation string, ask []byte) (*http.Response, error)

// mistakes are builds that are wrong on purpose, and the operations that must
// show it.
var mistakes = map[string]struct {
	build   build
	columns string
}{
	"an update checks nothing":                  {blindUpdate, "update"},
	"an update leaves no nonce":                 {noNonce, "update"},
	"a delete checks nothing":                   {edited("Delete", "ConditionExpression", orElse("attribute_not_exists(pk)")), "delete"},
	"a delete has no token":                     {noToken, "delete"},
	"the counter is outside of the transaction": {counterApart, "create"},
	"the record of a key is written beforehand": {recordApart, "create with key"},
	"a create checks nothing and has no token":  {blindCreate, "create"},
	"a delete is not counted":                   {uncounted, "delete"},
	"a key that came before makes another lead": {edited("Put", "ConditionExpression", orElse("attribute_exists(pk)")), "create with key"},

	"a record that came before makes another lead": {edited("Put", "ConditionExpression", orElse("attribute_exists(pk)")), "in: "},
	"a delivery that failed is called done":        {hopeful("TransactWriteItems"), "in: "},
	"the leads of a batch are counted apart":       {counterApart, "in: SQS"},
	"a dead letter has no name":                    {nameless, "in: SQS"},
	"a file's rows that were not sent are dropped": {hopeful("SendMessageBatch"), "in: S3"},
	"a change that was not published is dropped":   {hopeful("PutEvents"), "out: changes"},
}

type object = map[string]any

// parse and text are for JSON that the SDK or the engine made.
func parse(text []byte) (o object) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return o
}

func text(o any) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

func orElse(condition string) func(string) string {
	return func(c string) string { return "(" + c + ") OR " + condition }
}

// blindUpdate and noNonce leave the names and values in use, as the database
// demands, but without effect.
func blindUpdate(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation != "UpdateItem" {
		return send(operation, ask)
	}
	o := parse(ask)
	o["ConditionExpression"] = orElse("attribute_exists(pk)")(o["ConditionExpression"].(string))
	return send(operation, text(o))
}

var nonceCheck = regexp.MustCompile(`NOT \(contains \(#\d+, :\d+\)\)`)

func noNonce(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation != "UpdateItem" {
		return send(operation, ask)
	}
	o := parse(ask)
	o["ConditionExpression"] = nonceCheck.ReplaceAllString(o["ConditionExpression"].(string), "$0 OR attribute_exists(pk)")
	return send(operation, text(o))
}

// edited changes a member of each write of this kind in transactions.
func edited(kind, member string, edit func(string) string) build {
	return func(operation string, ask []byte, send sender) (*http.Response, error) {
		if operation != "TransactWriteItems" {
			return send(operation, ask)
		}
		o := parse(ask)
		for _, w := range o["TransactItems"].([]any) {
			if write, ok := w.(object)[kind].(object); ok && write[member] != nil {
				write[member] = edit(write[member].(string))
			}
		}
		return send(operation, text(o))
	}
}

func noToken(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation != "TransactWriteItems" {
		return send(operation, ask)
	}
	o := parse(ask)
	delete(o, "ClientRequestToken")
	return send(operation, text(o))
}

func blindCreate(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation == "TransactWriteItems" {
		o := parse(ask)
		delete(o, "ClientRequestToken")
		ask = text(o)
	}
	return edited("Put", "ConditionExpression", orElse("attribute_exists(pk)"))(operation, ask, send)
}

// counterApart sends the writes to the books after the transaction.
func counterApart(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation != "TransactWriteItems" {
		return send(operation, ask)
	}
	o := parse(ask)
	var together, alone []any
	for _, w := range o["TransactItems"].([]any) {
		if update := w.(object)["Update"]; update != nil {
			alone = append(alone, update)
		} else {
			together = append(together, w)
		}
	}
	o["TransactItems"] = together
	resp, err := send(operation, text(o))
	for _, update := range alone {
		if err != nil || resp.StatusCode != 200 {
			break
		}
		resp, err = send("UpdateItem", text(update.(object)))
	}
	return resp, err
}

func uncounted(operation string, ask []byte, send sender) (*http.Response, error) {
	if operation != "TransactWriteItems" || !bytes.Contains(ask, []byte(`"Delete"`)) {
		return send(operation, ask)
	}
	o := parse(ask)
	o["TransactItems"] = o["TransactItems"].([]any)[:1]
	return send(operation, text(o))
}

// recordApart puts the record of an idempotency key before the transaction.
func recordApart(operation string, ask []byte, send sender) (*http.Response, error) {
	o := object{}
	if operation == "TransactWriteItems" {
		o = parse(ask)
	}
	writes, _ := o["TransactItems"].([]any)
	if len(writes) != 3 || writes[1].(object)["Put"] == nil {
		return send(operation, ask)
	}
	resp, err := send("PutItem", text(writes[1].(object)["Put"].(object)))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 200 {
		reasons := []any{
			object{"Code": "None"},
			object{"Code": "ConditionalCheckFailed", "Item": parse(body)["Item"]},
			object{"Code": "None"},
		}
		return answers(400, object{
			"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
			"CancellationReasons": reasons,
		})(nil)
	}
	o["TransactItems"] = []any{writes[0], writes[2]}
	return send(operation, text(o))
}

// hopeful takes any answer to an operation for success.
func hopeful(of string) build {
	return func(operation string, ask []byte, send sender) (*http.Response, error) {
		resp, err := send(operation, ask)
		if operation != of || err == nil && resp.StatusCode == 200 {
			return resp, err
		}
		var list []any
		if operation == "PutEvents" && json.Unmarshal(ask, &list) != nil {
			return nil, err
		}
		return answers(200, busAnswer{make([]bool, len(list))})(&exchange{}) // an empty one to others
	}
}

// nameless gives each message a name of its own each time it is sent.
func nameless(operation string, ask []byte, send sender) (*http.Response, error) {
	var list []ingest.Message
	if operation != "SendMessageBatch" || json.Unmarshal(ask, &list) != nil {
		return send(operation, ask)
	}
	for i := range list {
		list[i].ID = rand.Text()
	}
	return send(operation, text(list))
}
