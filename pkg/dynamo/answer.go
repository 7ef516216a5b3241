package dynamo

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/plainjson"
)

// An answer is what the calls that serve requests may be answered: each has some
// of these. The SDK would read it into maps of any and then these into items,
// which is half of the memory that a list takes, and a third of its time.
type answer struct {
	item        item
	items       map[string][]item // by table
	page        []item
	last        item // where the next page begins
	count       int64
	scanned     int64
	unprocessed map[string]types.KeysAndAttributes
}

// output returns the answer as the SDK has it; nil for calls that are left to
// the SDK. What we never ask for is missing, such as the consumed capacity.
func (a *answer) output(operation string) any {
	switch operation {
	case "GetItem":
		return &dynamodb.GetItemOutput{Item: a.item}
	case "UpdateItem":
		return &dynamodb.UpdateItemOutput{Attributes: a.item}
	case "TransactWriteItems":
		return &dynamodb.TransactWriteItemsOutput{}
	case "Query":
		return &dynamodb.QueryOutput{Items: a.page, LastEvaluatedKey: a.last, Count: int32(a.count), ScannedCount: int32(a.scanned)}
	case "BatchGetItem":
		return &dynamodb.BatchGetItemOutput{Responses: a.items, UnprocessedKeys: a.unprocessed}
	}
	return nil
}

func readAnswer(d *jsontext.Decoder) (*answer, error) {
	a := &answer{}
	return a, plainjson.Object(d, a.member)
}

func (a *answer) member(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "Item", "Attributes":
		a.item, err = readItem(d)
	case "Items":
		a.page, err = readItems(d)
	case "LastEvaluatedKey":
		a.last, err = readItem(d)
	case "Count":
		a.count, err = plainjson.Int[int64](d)
	case "ScannedCount":
		a.scanned, err = plainjson.Int[int64](d)
	case "Responses":
		a.items, err = plainjson.Map(d, readItems)
	case "UnprocessedKeys":
		a.unprocessed, err = plainjson.Map(d, readKeys)
	default:
		err = d.SkipValue()
	}
	return err
}

// readKeys reads what of a BatchGetItem is to be asked for again.
func readKeys(d *jsontext.Decoder) (keys types.KeysAndAttributes, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "Keys":
			keys.Keys, err = readItems(d)
		case "ConsistentRead":
			var consistent bool
			consistent, err = plainjson.Bool(d)
			keys.ConsistentRead = &consistent
		default:
			err = fmt.Errorf("keys with %s", name)
		}
		return err
	})
	return keys, err
}

func readItems(d *jsontext.Decoder) ([]item, error) { return plainjson.List(d, readItem) }

func readItem(d *jsontext.Decoder) (item, error) { return plainjson.Map(d, readAttribute) }

// readAttribute reads an attribute of a type that items of ours have.
func readAttribute(d *jsontext.Decoder) (a types.AttributeValue, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, kind string) (err error) {
		switch kind {
		case "S":
			v := &types.AttributeValueMemberS{}
			v.Value, err = plainjson.String(d)
			a = v
		case "N":
			v := &types.AttributeValueMemberN{}
			v.Value, err = plainjson.String(d)
			a = v
		case "BOOL":
			v := &types.AttributeValueMemberBOOL{}
			v.Value, err = plainjson.Bool(d)
			a = v
		case "M":
			v := &types.AttributeValueMemberM{}
			v.Value, err = readItem(d)
			a = v
		case "B":
			v := &types.AttributeValueMemberB{}
			v.Value, err = readBytes(d)
			a = v
		case "BS":
			v := &types.AttributeValueMemberBS{}
			v.Value, err = plainjson.List(d, readBytes)
			a = v
		default:
			err = fmt.Errorf("an attribute of type %s", kind)
		}
		return err
	})
	return a, err
}

func readBytes(d *jsontext.Decoder) ([]byte, error) {
	text, err := plainjson.String(d)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// readAnswers puts [answer] before the SDK's own reading.
func readAnswers(stack *middleware.Stack) error {
	const id = "OperationDeserializer"
	if new(answer).output(stack.ID()) == nil {
		return nil
	}
	sdk, _ := stack.Deserialize.Get(id)
	_, err := stack.Deserialize.Swap(id, answerReader{sdk, stack.ID()})
	return err
}

// answerReader reads an answer, and leaves to the SDK what is none: errors, and
// items that somebody else put into the table.
type answerReader struct {
	middleware.DeserializeMiddleware // the SDK's
	operation                        string
}

// HandleDeserialize implements [middleware.DeserializeMiddleware].
func (r answerReader) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	if body, ok := response.Body.(*wholeBody); ok && response.StatusCode == http.StatusOK {
		if a, err := plainjson.Whole(body.Bytes(), readAnswer); err == nil {
			out.Result = a.output(r.operation)
			return out, metadata, nil
		}
	}
	return r.DeserializeMiddleware.HandleDeserialize(ctx, in, received{out, metadata})
}

// received is the handler of an answer that has come.
type received struct {
	out      middleware.DeserializeOutput
	metadata middleware.Metadata
}

// HandleDeserialize implements [middleware.DeserializeHandler].
func (r received) HandleDeserialize(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
	return r.out, r.metadata, nil
}
