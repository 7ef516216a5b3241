package dynamotest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
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
		{"large batch in bytes", "BatchWriteItem", `{"RequestItems":{"t":[{"PutRequest":{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"S":"` + strings.Repeat("x", 16<<20) + `"}}}}]}}`, "a batch has"},
		{"attribute without a name", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"":{"S":"x"}}}`, "empty name"},
		{"rare reserved word", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE Zone"}`, "reserved word Zone"},
		{"syntax", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"SET a = :a ADD b :a DELETE c :a","ConditionExpression":"NOT a IN (:a) OR size(a) BETWEEN :a AND :a","ExpressionAttributeValues":{":a":{"S":"1"}}}`, ""},
		{"many operators", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE a","ConditionExpression":"a=:a` + strings.Repeat(" OR a=:a", 150) + `","ExpressionAttributeValues":{":a":{"S":"1"}}}`, "301 operators"},
		{"many operands of IN", "UpdateItem", `{"Key":` + key + `,"UpdateExpression":"REMOVE a","ConditionExpression":"a IN (:a` + strings.Repeat(",:a", 100) + `)","ExpressionAttributeValues":{":a":{"S":"1"}}}`, "IN has 101 operands"},
		{"page of another partition", "Query", `{"KeyConditionExpression":"#0 = :p","ExpressionAttributeNames":{"#0":"pk"},"ExpressionAttributeValues":{":p":{"S":"a"}},"ExclusiveStartKey":{"pk":{"S":"b"},"sk":{"S":"c"}}}`, "the page starts at another pk"},
		{"next page", "Query", `{"KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"a"}},"ExclusiveStartKey":` + key + `}`, ""},
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

// TestEngineRefuses sends requests that DynamoDB refuses, and validate does not know:
// the engine must. It also checks that the pages of the engine end after 1 MB.
func TestEngineRefuses(t *testing.T) {
	client, meter := Start(t)
	send := func(operation, body string) (status int, answer string) {
		t.Helper()
		body = strings.ReplaceAll(body, "KEY", `{"pk":{"S":"a"},"sk":{"S":"b"}}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, *client.Options().BaseEndpoint, strings.NewReader(`{"TableName":"`+TableName+`",`+body[1:]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := meter.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, test := range []struct{ name, operation, body string }{
		{"empty set", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"SS":[]}}}`},
		{"long number", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"N":"123456789012345678901234567890123456789"}}}`},
		{"large number", "PutItem", `{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"N":"1e126"}}}`},
		{"item without a key", "PutItem", `{"Item":{"pk":{"S":"a"}}}`},
		{"key with another attribute", "GetItem", `{"Key":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"S":"c"}}}`},
		{"update of a key", "UpdateItem", `{"Key":KEY,"UpdateExpression":"SET pk = :a","ExpressionAttributeValues":{":a":{"S":"1"}}}`},
		{"update of an attribute twice", "UpdateItem", `{"Key":KEY,"UpdateExpression":"SET x = :a REMOVE x","ExpressionAttributeValues":{":a":{"S":"1"}}}`},
		{"two SET", "UpdateItem", `{"Key":KEY,"UpdateExpression":"SET x = :a SET y = :a","ExpressionAttributeValues":{":a":{"S":"1"}}}`},
		{"ADD of a string", "UpdateItem", `{"Key":KEY,"UpdateExpression":"ADD x :a","ExpressionAttributeValues":{":a":{"S":"1"}}}`},
		{"update to a large item", "UpdateItem", `{"Key":KEY,"UpdateExpression":"SET x = :a","ExpressionAttributeValues":{":a":{"S":"` + strings.Repeat("x", 400<<10) + `"}}}`},
		{"update to an empty key of the index", "UpdateItem", `{"Key":KEY,"UpdateExpression":"SET created_at = :a","ExpressionAttributeValues":{":a":{"S":""}}}`},
		{"query without the partition key", "Query", `{"KeyConditionExpression":"sk = :a","ExpressionAttributeValues":{":a":{"S":"b"}}}`},
		{"two conditions of a sort key", "Query", `{"KeyConditionExpression":"pk = :a AND sk > :a AND sk < :a","ExpressionAttributeValues":{":a":{"S":"b"}}}`},
		{"consistent read of an index", "Query", `{"IndexName":"created_at","ConsistentRead":true,"KeyConditionExpression":"tenant = :a","ExpressionAttributeValues":{":a":{"S":"b"}}}`},
		{"page of another index", "Query", `{"IndexName":"created_at","KeyConditionExpression":"tenant = :a","ExpressionAttributeValues":{":a":{"S":"a"}},"ExclusiveStartKey":KEY}`},
		{"filter of a key", "Query", `{"KeyConditionExpression":"pk = :a","FilterExpression":"sk = :a","ExpressionAttributeValues":{":a":{"S":"a"}}}`},
		{"attribute twice", "GetItem", `{"Key":KEY,"ProjectionExpression":"x, x"}`},
	} {
		if status, answer := send(test.operation, test.body); status != http.StatusBadRequest || !strings.Contains(answer, "ValidationException") {
			t.Errorf("%s: %d %.200s", test.name, status, answer)
		}
	}
	for i := range 12 {
		if status, answer := send("PutItem", fmt.Sprintf(`{"Item":{"pk":{"S":"p"},"sk":{"S":"%d"},"x":{"S":%q}}}`, i, strings.Repeat("x", 100<<10))); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	_, page := send("Query", `{"KeyConditionExpression":"pk = :a","ExpressionAttributeValues":{":a":{"S":"p"}}}`)
	if n := strings.Count(page, `"sk"`); len(page) > 11*100<<10 || !strings.Contains(page, "LastEvaluatedKey") || n < 10 {
		t.Errorf("a page has %d keys and %d bytes, want 1 MB", n, len(page))
	}
}
