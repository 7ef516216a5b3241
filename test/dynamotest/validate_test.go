package dynamotest

import (
	"fmt"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	const key = `{"pk":{"S":"a"},"sk":{"S":"b"}}`
	batch := func(n int, format string) string {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf(format, i))
		}
		return strings.Join(keys, ",")
	}
	const other = `{"pk":{"S":"a%d"},"sk":{"S":"b"}}`
	for _, test := range []struct{ name, operation, body, err string }{
		{"get", "GetItem", `{"Key":` + key + `}`, ""},
		{"empty key", "GetItem", `{"Key":{"pk":{"S":""},"sk":{"S":"b"}}}`, "the key pk"},
		{"long sort key", "GetItem", `{"Key":{"pk":{"S":"a"},"sk":{"S":"` + strings.Repeat("x", 1025) + `"}}}`, "the key sk"},
		{"number as key of the index", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"tenant":{"N":"1"}}}`, "the key tenant"},
		{"large item", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"S":"` + strings.Repeat("x", 400<<10) + `"}}}`, "an item has"},
		{"query", "Query", `{"KeyConditionExpression":"pk = :p AND #0 > :s","ExpressionAttributeNames":{"#0":"sk"},"ExpressionAttributeValues":{":p":{"S":"a"},":s":{"S":"b"}},"Limit":1}`, ""},
		{"query after an empty key", "Query", `{"KeyConditionExpression":"pk = :p AND sk > :s","ExpressionAttributeValues":{":p":{"S":"a"},":s":{"S":""}}}`, "the value :s of a key is empty"},
		{"limit 0", "Query", `{"KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"a"}},"Limit":0}`, "the limit is 0"},
		{"unused value", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"SET a = :a","ExpressionAttributeValues":{":a":{"S":"1"},":b":{"S":"1"}}}`, ":b is not used"},
		{"unused name", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE a","ExpressionAttributeNames":{"#a":"a"}}`, "#a is not used"},
		{"no names", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE a","ExpressionAttributeNames":{}}`, "must not be empty"},
		{"undefined value", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"SET a = :a"}`, ":a is used in an expression but not defined"},
		{"reserved word", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE status"}`, "reserved word status"},
		{"reserved word as placeholder", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE #status","ExpressionAttributeNames":{"#status":"status"}}`, ""},
		{"empty expression", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":""}`, "an expression has 0 bytes"},
		{"long expression", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE ` + strings.Repeat("x", 4096) + `"}`, "an expression has"},
		{"batch", "BatchGetItem", `{"RequestItems":{"t":{"Keys":[` + batch(100, other) + `]}}}`, ""},
		{"large batch", "BatchGetItem", `{"RequestItems":{"t":{"Keys":[` + batch(101, other) + `]}}}`, "reads 101 items"},
		{"batch with a key twice", "BatchGetItem", `{"RequestItems":{"t":{"Keys":[` + key + `,{"sk":{"S":"b"},"pk":{"S":"a"}}]}}}`, "duplicates"},
		{"large batch of writes", "BatchWriteItem", `{"RequestItems":{"t":[` + batch(26, `{"DeleteRequest":{"Key":`+other+`}}`) + `]}}`, "writes 26 items"},
		{"batch that writes an item twice", "BatchWriteItem", `{"RequestItems":{"t":[{"DeleteRequest":{"Key":` + key + `}},{"PutRequest":{"Item":` + key + `}}]}}`, "duplicates"},
		{"transaction", "TransactWriteItems", `{"TransactItems":[` + batch(100, `{"Put":{"Item":`+other+`}}`) + `]}`, ""},
		{"large transaction", "TransactWriteItems", `{"TransactItems":[` + batch(101, `{"Put":{"Item":`+other+`}}`) + `]}`, "has 101 operations"},
		{"transaction of an item twice", "TransactWriteItems", `{"TransactItems":[{"Put":{"Item":` + key + `}},{"Delete":{"Key":` + key + `}}]}`, "multiple operations on one item"},
		{"error in a transaction", "TransactWriteItems", `{"TransactItems":[{"Update":{"Key":` + key + `,"UpdateExpression":"REMOVE #a"}}]}`, "#a is used"},
		{"long token", "TransactWriteItems", `{"TransactItems":[{"Delete":{"Key":` + key + `}}],"ClientRequestToken":"` + strings.Repeat("x", 37) + `"}`, "token has 37"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := validate(test.operation, []byte(test.body))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}
