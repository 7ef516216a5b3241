package dynamo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/dynamo"
)

// answering is an HTTP client to which all is answered the same.
type answering struct {
	status int
	body   io.Reader
}

func (a answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(a.body), ContentLength: -1}, nil
}

// ask makes a call that is answered so, with the product's client or the SDK's
// own, once.
func ask(operation string, a answering, configure ...func(*dynamodb.Options)) (any, error) {
	o := dynamodb.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}}
	c := dynamodb.New(o, append(configure, func(o *dynamodb.Options) { o.HTTPClient, o.Retryer = a, aws.NopRetryer{} })...)
	ctx, name, key := context.Background(), aws.String("leads"), map[string]types.AttributeValue{}
	switch operation {
	case "GetItem":
		out, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: name, Key: key})
		return unmarked(out, err)
	case "UpdateItem":
		out, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: name, Key: key})
		return unmarked(out, err)
	case "TransactWriteItems":
		out, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{}})
		return unmarked(out, err)
	case "Query":
		out, err := c.Query(ctx, &dynamodb.QueryInput{TableName: name})
		return unmarked(out, err)
	case "BatchGetItem":
		out, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{}})
		return unmarked(out, err)
	}
	panic(operation)
}

// unmarked returns an output without its marks of time.
func unmarked[T any](out *T, err error) (any, error) {
	if out != nil {
		reflect.ValueOf(out).Elem().FieldByName("ResultMetadata").SetZero()
	}
	return out, err
}

// TestAnswersAreReadAsTheSDKReadsThem draws answers of DynamoDB, with items that
// are not ours too, and such as no database gives.
func TestAnswersAreReadAsTheSDKReadsThem(t *testing.T) {
	operations := []struct {
		name    string
		members []string
	}{
		{"GetItem", []string{"Item", "else"}},
		{"UpdateItem", []string{"Attributes", "else"}},
		{"TransactWriteItems", []string{"else"}},
		{"Query", []string{"Items", "LastEvaluatedKey", "Count", "ScannedCount", "else"}},
		{"BatchGetItem", []string{"Responses", "UnprocessedKeys", "else"}},
	}
	ours, all := members(false), members(true)
	rapid.Check(t, func(t *rapid.T) {
		members := ours
		if rapid.Bool().Draw(t, "others' items") {
			members = all
		}
		status := rapid.SampledFrom([]int{200, 200, 200, 200, 400, 500}).Draw(t, "status")
		cut := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 20}).Draw(t, "cut off")
		for _, operation := range operations {
			body := map[string]any{}
			for _, name := range operation.members {
				if rapid.Bool().Draw(t, "with "+name) {
					body[name] = members[name].Draw(t, name)
				}
			}
			whole, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			sent := string(whole[:max(0, len(whole)-cut)])
			got, gotErr := ask(operation.name, answering{status, strings.NewReader(sent)}, dynamo.Configure)
			want, wantErr := ask(operation.name, answering{status, strings.NewReader(sent)})
			if !reflect.DeepEqual(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Fatalf("%s, %d %s:\nread %#v, %v\nthe SDK reads %#v, %v", operation.name, status, sent, got, gotErr, want, wantErr)
			}
		}
	})
}

// members draws the members of answers, with attributes of the types that our
// items have, or of all and none.
func members(all bool) map[string]*rapid.Generator[any] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 \"\\/<é\u2028😀\x00\n")), 0, 5, -1)
	var attribute func(depth int) *rapid.Generator[any]
	attribute = func(depth int) *rapid.Generator[any] {
		of := func(kind string, g *rapid.Generator[any]) *rapid.Generator[any] {
			return rapid.Map(g, func(v any) any { return map[string]any{kind: v} })
		}
		kinds := []*rapid.Generator[any]{
			of("S", text.AsAny()), of("N", rapid.Just[any]("12.50")), of("BOOL", rapid.Bool().AsAny()), of("B", rapid.SliceOf(rapid.Byte()).AsAny()),
		}
		if all {
			kinds = append(kinds, of("NULL", rapid.Just[any](true)), of("SS", rapid.SliceOf(text).AsAny()),
				of("new", text.AsAny()), of("S", rapid.Just[any](7)), rapid.Just[any](nil))
		}
		if depth > 0 {
			kinds = append(kinds, of("M", rapid.MapOfN(text, attribute(depth-1), 0, 3).AsAny()))
		}
		if depth > 0 && all {
			kinds = append(kinds, of("L", rapid.SliceOfN(attribute(depth-1), 0, 3).AsAny()))
		}
		return rapid.OneOf(kinds...)
	}
	item := rapid.MapOfN(text, attribute(2), 0, 3)
	items := rapid.SliceOfN(item, 0, 3)
	keys := rapid.Map(items, func(keys []map[string]any) any { return map[string]any{"Keys": keys, "ConsistentRead": true} })
	number := rapid.IntRange(0, 1000).AsAny()
	return map[string]*rapid.Generator[any]{
		"Item": item.AsAny(), "Attributes": item.AsAny(), "Items": items.AsAny(), "LastEvaluatedKey": item.AsAny(),
		"Count": number, "ScannedCount": number,
		"Responses": rapid.MapOfN(text, items, 0, 2).AsAny(), "UnprocessedKeys": rapid.MapOfN(text, keys, 0, 2).AsAny(),
		"else": rapid.Just[any]([]int{1}),
	}
}

// TestAnswersThatBreakOff holds that the error of one has the type by which it is
// asked for again.
func TestAnswersThatBreakOff(t *testing.T) {
	broken := io.MultiReader(strings.NewReader(`{"Item":{`), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := ask("GetItem", answering{200, broken}, dynamo.Configure)
	var deserialization *smithy.DeserializationError
	if !errors.As(err, &deserialization) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want an error of reading", err)
	}
}
