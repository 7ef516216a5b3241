package counter

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

// itemRange names items of a partition by their sort keys: those after one and
// through another.
type itemRange struct {
	after, through string
	descending     bool
	limit          int // 0 is none
}

// query returns the items of a range. Counter items are read strongly consistent.
// For the others an older state is good enough.
func (c *Counters) query(ctx context.Context, prefix, kind string, r itemRange) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		if r.through <= r.after {
			return
		}
		key := expression.Key(attrPK).Equal(expression.Value(partition(prefix, kind))).
			And(expression.Key(attrSK).Between(expression.Value(r.after+" "), expression.Value(r.through)))
		e, err := expression.NewBuilder().WithKeyCondition(key).Build()
		if err != nil {
			yield(nil, err)
			return
		}
		pages := dynamodb.NewQueryPaginator(c.client, &dynamodb.QueryInput{
			TableName:                 &c.table,
			KeyConditionExpression:    e.KeyCondition(),
			ExpressionAttributeNames:  e.Names(),
			ExpressionAttributeValues: e.Values(),
			ConsistentRead:            aws.Bool(kind == countersKind),
			ScanIndexForward:          aws.Bool(!r.descending),
		}, func(o *dynamodb.QueryPaginatorOptions) { o.Limit = int32(r.limit) })
		for n := 0; pages.HasMorePages() && (r.limit == 0 || n < r.limit); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			c.clock.ObserveAnswer(page.ResultMetadata)
			for _, it := range page.Items {
				if n++; !yield(it, nil) {
					return
				}
			}
		}
	}
}

// put stores an item that can be computed again. So it tries once, and ignores
// errors.
func (c *Counters) put(ctx context.Context, it item) {
	_, _ = c.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.table, Item: it},
		func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

func itemKey(pk, sk string) item { return item{attrPK: text(pk), attrSK: text(sk)} }

// windowOfItem returns the window of a counter item.
func windowOfItem(it item) string {
	sortKey := stringOf(it[attrSK])
	return sortKey[:min(windowLength, len(sortKey))]
}

// eachCount calls f for each count in a counter item.
func eachCount(it item, f func(letter byte, s Series, span string, n int64)) {
	sortKey := stringOf(it[attrSK])
	for name, value := range it {
		letter, s, span, ok := spanOf(sortKey, name)
		if n, isNumber := value.(*types.AttributeValueMemberN); ok && isNumber {
			f(letter, s, span, numberOf(n))
		}
	}
}

// sizeOf returns how many bytes an item has, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html.
func sizeOf(it item) (size int) {
	for name, value := range it {
		size += len(name) + len(stringOf(value))
		switch v := value.(type) {
		case *types.AttributeValueMemberN:
			size += len(strings.Trim(v.Value, "-0"))/2 + 2
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		}
	}
	return size
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func stringOf(a types.AttributeValue) string {
	if s, ok := a.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func numberOf(a types.AttributeValue) int64 {
	n, ok := a.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, _ := strconv.ParseInt(n.Value, 10, 64)
	return i
}
