package dynamo_test

import (
	"bytes"
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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// answering is a database that answers all the same.
type answering struct {
	status int
	body   io.Reader
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(a.body), ContentLength: -1}, nil
}

// ask makes a call that is answered so, with the product's client or the SDK's
// own, once.
func ask(operation string, a answering, configure ...func(*dynamodb.Options)) (any, error) {
	o := dynamodb.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}}
	c := dynamodb.New(o, append(configure, func(o *dynamodb.Options) {
		o.HTTPClient, o.Retryer = &dynamo.HTTPClient{Transport: a, Timeout: time.Minute}, aws.NopRetryer{}
	})...)
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
	bytes := rapid.SliceOf(rapid.Byte())
	var attribute func(depth int) *rapid.Generator[any]
	attribute = func(depth int) *rapid.Generator[any] {
		of := func(kind string, g *rapid.Generator[any]) *rapid.Generator[any] {
			return rapid.Map(g, func(v any) any { return map[string]any{kind: v} })
		}
		kinds := []*rapid.Generator[any]{
			of("S", text.AsAny()), of("N", rapid.Just[any]("12.50")), of("BOOL", rapid.Bool().AsAny()), of("B", bytes.AsAny()), of("BS", rapid.SliceOf(bytes).AsAny()),
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

// TestNoItemOfOursIsLeftToTheSDK makes items of each kind and reads them.
func TestNoItemOfOursIsLeftToTheSDK(t *testing.T) {
	table, meter, now := newTable(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	asked := map[string]bool{}
	meter.Fault = func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		resp, err := send.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if wrong := dynamo.ReadsAnswer(operation, body); wrong != nil && resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %v in %s", operation, wrong, body)
		}
		asked[operation] = true
		return resp, err
	}
	ctx, must := t.Context(), func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, key := apikey.NewKey(acme, apikey.Read|apikey.Write, *now, time.Time{})
	must(table.CreateKey(ctx, key))
	_, err := table.FindKey(ctx, key.ID)
	must(err)

	table.SetNear(0)
	once := lead.IdempotencyKey{Key: "k", TTL: time.Hour}
	for day := range 3 {
		made, _, err := table.Create(ctx, acme, sized(800), once)
		must(err)
		if day == 0 {
			_, replayed, err := table.Create(ctx, acme, sized(800), once)
			must(err)
			if !replayed {
				t.Error("a second lead was made for one idempotency key")
			}
		}
		for range 2 {
			_, err = table.Update(ctx, acme, made.ID, []lead.Change{{Field: 0, Value: "x"}}, lead.Precondition{})
			must(err)
		}
		_, err = table.Retrieve(ctx, acme, made.ID)
		must(err)
		*now = now.Add(24 * time.Hour)
	}
	for range 2 { // the second time with balance and calendar
		for offset := range int64(3) {
			_, _, err := table.List(ctx, acme, 1, offset)
			must(err)
		}
	}
	for _, operation := range []string{"GetItem", "UpdateItem", "TransactWriteItems", "Query", "BatchGetItem"} {
		if !asked[operation] {
			t.Errorf("%s was not asked", operation)
		}
	}
}

// TestAnswersThatBreakOff holds that one is asked for again.
func TestAnswersThatBreakOff(t *testing.T) {
	broken := io.MultiReader(strings.NewReader(`{"Item":{`), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := ask("GetItem", answering{200, broken}, dynamo.Configure)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool() {
		t.Errorf("%v, want an error that passes", err)
	}
}
