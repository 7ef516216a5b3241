package dynamotest

import (
	"cmp"
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
	maxOperators    = 300 // in an expression
	maxIn           = 100 // operands of IN
	maxBatchGet     = 100 // items
	maxBatchWrite   = 25
	maxBatchSize    = 16 << 20
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
		if len(body) > maxBatchSize {
			return fmt.Errorf("a batch has %d bytes, at most %d are allowed", len(body), maxBatchSize)
		}
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
	if _, ok := o.Item[""]; ok {
		return errors.New("an attribute has an empty name")
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
	// operator matches an operator or function of an expression.
	operator = regexp.MustCompile(`[=<>]+|[+-]|\b(AND|OR|NOT|IN|BETWEEN|size|contains|begins_with|attribute_\w+|if_not_exists|list_append)\b`)
	in       = regexp.MustCompile(`\bIN\s*\(([^)]*)\)`)
	// equal matches the condition of a key that must be equal to a value.
	equal = regexp.MustCompile(`(#?\w+)\s*=\s*(:\w+)`)
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
		if n := len(operator.FindAllString(*e, -1)); n > maxOperators {
			return fmt.Errorf("an expression has %d operators, at most %d are allowed", n, maxOperators)
		}
		for _, list := range in.FindAllStringSubmatch(*e, -1) {
			if n := strings.Count(list[1], ",") + 1; n > maxIn {
				return fmt.Errorf("IN has %d operands, at most %d are allowed", n, maxIn)
			}
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
		for _, m := range equal.FindAllStringSubmatch(*o.KeyConditionExpression, -1) {
			key := cmp.Or(o.ExpressionAttributeNames[m[1]], m[1])
			start, _ := o.ExclusiveStartKey[key].text()
			if want, _ := o.ExpressionAttributeValues[m[2]].text(); o.ExclusiveStartKey != nil && start != want {
				return fmt.Errorf("the page starts at another %s than that of the condition", key)
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

// reservedWords are all that are not also part of the syntax of expressions, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html.
var reservedWords = strings.Fields(`
	ABORT ABSOLUTE ACTION AFTER AGENT AGGREGATE ALL ALLOCATE ALTER ANALYZE ANY ARCHIVE ARE ARRAY AS ASC ASCII
	ASENSITIVE ASSERTION ASYMMETRIC AT ATOMIC ATTACH ATTRIBUTE AUTH AUTHORIZATION AUTHORIZE AUTO AVG BACK BACKUP
	BASE BATCH BEFORE BEGIN BIGINT BINARY BIT BLOB BLOCK BOOLEAN BOTH BREADTH BUCKET BULK BY BYTE CALL CALLED
	CALLING CAPACITY CASCADE CASCADED CASE CAST CATALOG CHAR CHARACTER CHECK CLASS CLOB CLOSE CLUSTER CLUSTERED
	CLUSTERING CLUSTERS COALESCE COLLATE COLLATION COLLECTION COLUMN COLUMNS COMBINE COMMENT COMMIT COMPACT COMPILE
	COMPRESS CONDITION CONFLICT CONNECT CONNECTION CONSISTENCY CONSISTENT CONSTRAINT CONSTRAINTS CONSTRUCTOR
	CONSUMED CONTINUE CONVERT COPY CORRESPONDING COUNT COUNTER CREATE CROSS CUBE CURRENT CURSOR CYCLE DATA DATABASE
	DATE DATETIME DAY DEALLOCATE DEC DECIMAL DECLARE DEFAULT DEFERRABLE DEFERRED DEFINE DEFINED DEFINITION DELIMITED
	DEPTH DEREF DESC DESCRIBE DESCRIPTOR DETACH DETERMINISTIC DIAGNOSTICS DIRECTORIES DISABLE DISCONNECT DISTINCT
	DISTRIBUTE DO DOMAIN DOUBLE DROP DUMP DURATION DYNAMIC EACH ELEMENT ELSE ELSEIF EMPTY ENABLE END EQUAL EQUALS
	ERROR ESCAPE ESCAPED EVAL EVALUATE EXCEEDED EXCEPT EXCEPTION EXCEPTIONS EXCLUSIVE EXEC EXECUTE EXISTS EXIT
	EXPLAIN EXPLODE EXPORT EXPRESSION EXTENDED EXTERNAL EXTRACT FAIL FALSE FAMILY FETCH FIELDS FILE FILTER FILTERING
	FINAL FINISH FIRST FIXED FLATTERN FLOAT FOR FORCE FOREIGN FORMAT FORWARD FOUND FREE FROM FULL FUNCTION FUNCTIONS
	GENERAL GENERATE GET GLOB GLOBAL GO GOTO GRANT GREATER GROUP GROUPING HANDLER HASH HAVE HAVING HEAP HIDDEN HOLD
	HOUR IDENTIFIED IDENTITY IF IGNORE IMMEDIATE IMPORT INCLUDING INCLUSIVE INCREMENT INCREMENTAL INDEX INDEXED
	INDEXES INDICATOR INFINITE INITIALLY INLINE INNER INNTER INOUT INPUT INSENSITIVE INSERT INSTEAD INT INTEGER
	INTERSECT INTERVAL INTO INVALIDATE IS ISOLATION ITEM ITEMS ITERATE JOIN KEY KEYS LAG LANGUAGE LARGE LAST LATERAL
	LEAD LEADING LEAVE LEFT LENGTH LESS LEVEL LIKE LIMIT LIMITED LINES LIST LOAD LOCAL LOCALTIME LOCALTIMESTAMP
	LOCATION LOCATOR LOCK LOCKS LOG LOGED LONG LOOP LOWER MAP MATCH MATERIALIZED MAX MAXLEN MEMBER MERGE METHOD
	METRICS MIN MINUS MINUTE MISSING MOD MODE MODIFIES MODIFY MODULE MONTH MULTI MULTISET NAME NAMES NATIONAL
	NATURAL NCHAR NCLOB NEW NEXT NO NONE NULL NULLIF NUMBER NUMERIC OBJECT OF OFFLINE OFFSET OLD ON ONLINE ONLY
	OPAQUE OPEN OPERATOR OPTION ORDER ORDINALITY OTHER OTHERS OUT OUTER OUTPUT OVER OVERLAPS OVERRIDE OWNER PAD
	PARALLEL PARAMETER PARAMETERS PARTIAL PARTITION PARTITIONED PARTITIONS PATH PERCENT PERCENTILE PERMISSION
	PERMISSIONS PIPE PIPELINED PLAN POOL POSITION PRECISION PREPARE PRESERVE PRIMARY PRIOR PRIVATE PRIVILEGES
	PROCEDURE PROCESSED PROJECT PROJECTION PROPERTY PROVISIONING PUBLIC PUT QUERY QUIT QUORUM RAISE RANDOM RANGE
	RANK RAW READ READS REAL REBUILD RECORD RECURSIVE REDUCE REF REFERENCE REFERENCES REFERENCING REGEXP REGION
	REINDEX RELATIVE RELEASE REMAINDER RENAME REPEAT REPLACE REQUEST RESET RESIGNAL RESOURCE RESPONSE RESTORE
	RESTRICT RESULT RETURN RETURNING RETURNS REVERSE REVOKE RIGHT ROLE ROLES ROLLBACK ROLLUP ROUTINE ROW ROWS RULE
	RULES SAMPLE SATISFIES SAVE SAVEPOINT SCAN SCHEMA SCOPE SCROLL SEARCH SECOND SECTION SEGMENT SEGMENTS SELECT
	SELF SEMI SENSITIVE SEPARATE SEQUENCE SERIALIZABLE SESSION SETS SHARD SHARE SHARED SHORT SHOW SIGNAL SIMILAR
	SKEWED SMALLINT SNAPSHOT SOME SOURCE SPACE SPACES SPARSE SPECIFIC SPECIFICTYPE SPLIT SQL SQLCODE SQLERROR
	SQLEXCEPTION SQLSTATE SQLWARNING START STATE STATIC STATUS STORAGE STORE STORED STREAM STRING STRUCT STYLE SUB
	SUBMULTISET SUBPARTITION SUBSTRING SUBTYPE SUM SUPER SYMMETRIC SYNONYM SYSTEM TABLE TABLESAMPLE TEMP TEMPORARY
	TERMINATED TEXT THAN THEN THROUGHPUT TIME TIMESTAMP TIMEZONE TINYINT TO TOKEN TOTAL TOUCH TRAILING TRANSACTION
	TRANSFORM TRANSLATE TRANSLATION TREAT TRIGGER TRIM TRUE TRUNCATE TTL TUPLE TYPE UNDER UNDO UNION UNIQUE UNIT
	UNKNOWN UNLOGGED UNNEST UNPROCESSED UNSIGNED UNTIL UPDATE UPPER URL USAGE USE USER USERS USING UUID VACUUM VALUE
	VALUED VALUES VARCHAR VARIABLE VARIANCE VARINT VARYING VIEW VIEWS VIRTUAL VOID WAIT WHEN WHENEVER WHERE WHILE
	WINDOW WITH WITHIN WITHOUT WORK WRAPPED WRITE YEAR ZONE`)
