package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// This file has all that the tests know of the items in the table. A change of
// the table's layout changes this file, and perhaps the patterns in
// mutants_test.go.

type object = map[string]any

// kind is what an item of a write transaction is.
type kind int

const (
	leadItem   kind = iota
	recordItem      // of an Idempotency-Key
	counterItem
	rowItem // of the index of a filter, or the guard of an address
)

// guardSort is the sort key of the guard of an address.
const guardSort = "~"

// writeKind returns the kind of item that a member of TransactItems writes.
func writeKind(write any) kind {
	switch key := itemKeyOf(write); {
	case key.SK == "lead":
		return leadItem
	case key.SK == "once":
		return recordItem
	case strings.Contains(key.PK, "/by/"):
		return rowItem
	}
	return counterItem
}

// leadImage returns a lead's item as a record of the table's stream has it.
func leadImage(name string, version int, city string) object {
	return object{
		"pk": object{"S": "acme/live/" + name}, "sk": object{"S": "lead"}, "tenant": object{"S": "acme/live"},
		"v": object{"N": fmt.Sprint(version)}, "u": object{"N": "1772366400000"}, "city": object{"S": city},
	}
}

// itemKey is the primary key of an item.
type itemKey struct{ PK, SK string }

// itemKeyOf returns the key of the item that a write is about. A write is the
// body of a call such as UpdateItem, or a member of TransactItems, which has the
// same as the only value of an object.
func itemKeyOf(write any) itemKey {
	w := write.(object)
	if len(w) == 1 {
		for _, inner := range w {
			w = inner.(object)
		}
	}
	item, ok := w["Key"].(object)
	if !ok {
		item = w["Item"].(object)
	}
	return itemKey{PK: item["pk"].(object)["S"].(string), SK: item["sk"].(object)["S"].(string)}
}

func transactItems(transaction object) []any { return transaction["TransactItems"].([]any) }

// parse decodes JSON that the SDK or the database made.
func parse(text []byte) (o object) {
	if err := decode(text, &o); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return o
}

func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func toJSON(o any) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

// isSameJSON reports whether two texts differ at most in the order of members.
func isSameJSON(a, b []byte) bool {
	var x, y any
	return decode(a, &x) == nil && decode(b, &y) == nil && reflect.DeepEqual(x, y)
}
