package dynamotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Limits of DynamoDB, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html.
const (
	maxPartitionKey = 2048 // bytes
	maxSortKey      = 1024
	maxItem         = 400 << 10
	maxExpression   = 4 << 10
	maxBatchGet     = 100 // items
	maxBatchWrite   = 25
	maxTransaction  = 100
	maxTransactSize = 4 << 20
	maxToken        = 36
)

// value is an attribute value in a request, such as {"S":"text"}.
type value map[string]json.RawMessage

type attributes map[string]value

// operation is the part of a request, or of a transaction, about one item or query.
type operation struct {
	Key, Item                 attributes
	ExclusiveStartKey         attributes
	IndexName                 string
	Limit                     *int
	KeyConditionExpression    *string
	ConditionExpression       *string
	FilterExpression          *string
	ProjectionExpression      *string
	UpdateExpression          *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues attributes
}

// request is any request that the product sends.
type request struct {
	operation
	TransactItems      []map[string]operation
	ClientRequestToken string
	RequestItems       map[string]json.RawMessage
}

// validate returns an error if DynamoDB would refuse the request. It holds the
// documented rules that the local database does not check.
func validate(name string, body []byte) error {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	switch name {
	case "TransactWriteItems":
		return validateTransaction(r, len(body))
	case "BatchGetItem":
		return validateBatchGet(r.RequestItems)
	case "BatchWriteItem":
		return validateBatchWrite(r.RequestItems)
	}
	return r.operation.validate()
}

func validateTransaction(r request, size int) error {
	if n := len(r.TransactItems); n == 0 || n > maxTransaction {
		return fmt.Errorf("a transaction has %d operations, want 1 to %d", n, maxTransaction)
	}
	if size > maxTransactSize {
		return fmt.Errorf("a transaction has %d bytes, at most %d are allowed", size, maxTransactSize)
	}
	if len(r.ClientRequestToken) > maxToken {
		return fmt.Errorf("the token has %d characters, at most %d are allowed", len(r.ClientRequestToken), maxToken)
	}
	var keys []attributes
	for _, part := range r.TransactItems {
		if len(part) != 1 {
			return fmt.Errorf("a part of a transaction has %d operations, want 1", len(part))
		}
		for _, o := range part {
			if err := o.validate(); err != nil {
				return err
			}
			keys = append(keys, o.primaryKey())
		}
	}
	if duplicate(keys) {
		return errors.New("a transaction cannot include multiple operations on one item")
	}
	return nil
}

func validateBatchGet(tables map[string]json.RawMessage) error {
	n := 0
	for _, text := range tables {
		var table struct {
			operation
			Keys []attributes
		}
		if err := json.Unmarshal(text, &table); err != nil {
			return err
		}
		if err := table.operation.validate(); err != nil {
			return err
		}
		for _, key := range table.Keys {
			if err := validateKeys(key); err != nil {
				return err
			}
		}
		if duplicate(table.Keys) {
			return errors.New("the list of keys contains duplicates")
		}
		n += len(table.Keys)
	}
	if n == 0 || n > maxBatchGet {
		return fmt.Errorf("a batch reads %d items, want 1 to %d", n, maxBatchGet)
	}
	return nil
}

func validateBatchWrite(tables map[string]json.RawMessage) error {
	n := 0
	for _, text := range tables {
		var writes []map[string]operation // PutRequest or DeleteRequest
		if err := json.Unmarshal(text, &writes); err != nil {
			return err
		}
		var keys []attributes
		for _, write := range writes {
			for _, o := range write {
				if err := o.validate(); err != nil {
					return err
				}
				keys = append(keys, o.primaryKey())
			}
		}
		if duplicate(keys) {
			return errors.New("the list of keys contains duplicates")
		}
		n += len(writes)
	}
	if n == 0 || n > maxBatchWrite {
		return fmt.Errorf("a batch writes %d items, want 1 to %d", n, maxBatchWrite)
	}
	return nil
}

// primaryKey returns the key of the item that the operation is about.
func (o operation) primaryKey() attributes {
	if o.Key != nil {
		return o.Key
	}
	return attributes{"pk": o.Item["pk"], "sk": o.Item["sk"]}
}

func duplicate(keys []attributes) bool {
	seen := map[string]bool{}
	for _, key := range keys {
		text, _ := json.Marshal(key) // sorts the names
		if seen[string(text)] {
			return true
		}
		seen[string(text)] = true
	}
	return false
}

func (o operation) validate() error {
	for _, item := range []attributes{o.Key, o.Item, o.ExclusiveStartKey} {
		if err := validateKeys(item); err != nil {
			return err
		}
	}
	if size := o.Item.size(); size > maxItem {
		return fmt.Errorf("an item has %d bytes, at most %d are allowed", size, maxItem)
	}
	if o.Limit != nil && *o.Limit < 1 {
		return fmt.Errorf("the limit is %d, want at least 1", *o.Limit)
	}
	return o.validateExpressions()
}

// validateKeys checks the values of the keys of the table and of its index.
func validateKeys(item attributes) error {
	for name, limit := range map[string]int{"pk": maxPartitionKey, "sk": maxSortKey, "tenant": maxPartitionKey, "created_at": maxSortKey} {
		v, ok := item[name]
		if !ok {
			continue
		}
		if s, isString := v.text(); !isString || s == "" || len(s) > limit {
			return fmt.Errorf("the key %s is %q, want a string of 1 to %d bytes", name, v["S"], limit)
		}
	}
	return nil
}

var (
	placeholder = regexp.MustCompile(`[#:]\w+`)
	// word matches a name of an attribute, function or keyword, not a placeholder.
	word = regexp.MustCompile(`[#:]?\b[A-Za-z]\w*`)
)

func (o operation) validateExpressions() error {
	var all string
	for _, e := range []*string{o.KeyConditionExpression, o.ConditionExpression, o.FilterExpression, o.ProjectionExpression, o.UpdateExpression} {
		if e == nil {
			continue
		}
		if strings.TrimSpace(*e) == "" || len(*e) > maxExpression {
			return fmt.Errorf("an expression has %d bytes, want 1 to %d", len(*e), maxExpression)
		}
		for _, w := range word.FindAllString(*e, -1) {
			if slices.Contains(reservedWords, strings.ToUpper(w)) {
				return fmt.Errorf("the expression %q contains the reserved word %s", *e, w)
			}
		}
		all += *e + " "
	}
	if o.ExpressionAttributeNames != nil && len(o.ExpressionAttributeNames) == 0 {
		return errors.New("ExpressionAttributeNames must not be empty")
	}
	if o.ExpressionAttributeValues != nil && len(o.ExpressionAttributeValues) == 0 {
		return errors.New("ExpressionAttributeValues must not be empty")
	}
	used := placeholder.FindAllString(all, -1)
	for name := range o.ExpressionAttributeNames {
		if !slices.Contains(used, name) {
			return fmt.Errorf("%s is not used in an expression", name)
		}
	}
	for name := range o.ExpressionAttributeValues {
		if !slices.Contains(used, name) {
			return fmt.Errorf("%s is not used in an expression", name)
		}
	}
	for _, name := range used {
		_, isName := o.ExpressionAttributeNames[name]
		_, isValue := o.ExpressionAttributeValues[name]
		if !isName && !isValue {
			return fmt.Errorf("%s is used in an expression but not defined", name)
		}
	}
	if o.KeyConditionExpression != nil {
		for _, name := range placeholder.FindAllString(*o.KeyConditionExpression, -1) {
			if s, isString := o.ExpressionAttributeValues[name].text(); isString && s == "" {
				return fmt.Errorf("the value %s of a key is empty", name)
			}
		}
	}
	return nil
}

// text returns the value of a string.
func (v value) text() (s string, isString bool) {
	raw, ok := v["S"]
	return s, ok && json.Unmarshal(raw, &s) == nil
}

// size returns about how many bytes an item has.
func (a attributes) size() (n int) {
	for name, v := range a {
		n += len(name)
		for _, raw := range v {
			n += len(raw)
		}
	}
	return n
}

// reservedWords are those that could be the name of an attribute, out of
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html.
var reservedWords = strings.Fields(`
	ACTION BUCKET COMMENT COUNT COUNTER DATA DATE DAY GROUP HASH HOUR INDEX ITEMS KEY LANGUAGE METHOD MINUTE MODE
	MONTH NAME ORDER OWNER PARTITION PATH POSITION RANGE REGION ROLE SECOND SOURCE STATE STATUS TIME TIMESTAMP
	TOKEN TOTAL TTL TYPE URL USER USERS UUID VALUE VALUES VIEW YEAR`)
