package dynamo_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

type rawItem = map[string]types.AttributeValue

func rawKey(pk, sk string) rawItem {
	return rawItem{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

func putRaw(t *testing.T, client *dynamodb.Client, it rawItem) {
	t.Helper()
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(dynamotest.TableName), Item: it}); err != nil {
		t.Fatal(err)
	}
}

// calls are calls of a table that read or write.
var calls = map[string]func(context.Context, *dynamo.Table) error{
	"find key":  func(ctx context.Context, t *dynamo.Table) error { _, err := t.FindKey(ctx, "0123456789ab"); return err },
	"list keys": func(ctx context.Context, t *dynamo.Table) error { _, err := t.ListKeys(ctx, acme.Account); return err },
	"create": func(ctx context.Context, t *dynamo.Table) error {
		_, _, err := t.Create(ctx, acme, lead.Defaults(), lead.IdempotencyKey{})
		return err
	},
	"create many": func(ctx context.Context, t *dynamo.Table) error {
		return t.CreateMany(ctx, acme, []lead.CreateRequest{{Values: lead.Defaults()}})[0].Err
	},
	"list": func(ctx context.Context, t *dynamo.Table) error {
		_, err := t.List(ctx, acme, lead.ListQuery{Limit: 1})
		return err
	},
	"export": func(ctx context.Context, t *dynamo.Table) error {
		for _, err := range t.All(ctx, acme) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"audit": func(ctx context.Context, t *dynamo.Table) error { _, err := t.Tenants(ctx); return err },
}

// TestTableOfAnotherVersion uses tables of a newer and of an older format. All calls
// fail with a sentence that names both versions.
func TestTableOfAnotherVersion(t *testing.T) {
	for stored, want := range map[int]string{dynamo.Format + 1: "use the newest release", dynamo.Format - 1: "see Upgrading"} {
		client, _ := dynamotest.Start(t)
		it := rawKey("format", "format")
		it["v"] = &types.AttributeValueMemberN{Value: strconv.Itoa(stored)}
		putRaw(t, client, it)
		table := dynamo.New(client, dynamotest.TableName)
		err := table.CheckFormat(t.Context())
		var refused *dynamo.FormatError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "written by version "+strconv.Itoa(stored)) || !strings.Contains(err.Error(), want) {
			t.Errorf("version %d: %v", stored, err)
		}
		for name, call := range calls {
			if got := call(t.Context(), table); !errors.Is(got, err) {
				t.Errorf("version %d: %s: %v", stored, name, got)
			}
		}
	}
}

// TestForeignTable uses a table with other names of keys.
func TestForeignTable(t *testing.T) {
	client, _ := dynamotest.Start(t)
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("other"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	table := dynamo.New(client, "other")
	if err := table.CheckFormat(t.Context()); !errors.As(err, new(*dynamo.FormatError)) || !strings.Contains(err.Error(), "set LEADS_TABLE") {
		t.Error(err)
	}
}

// TestLeadsOfAnOlderVersion lists leads that were neither indexed nor counted, in a
// table without a format. Lists fail until Reindex.
func TestLeadsOfAnOlderVersion(t *testing.T) {
	client, meter := dynamotest.Start(t)
	table := dynamo.New(client, dynamotest.TableName)
	times := slices.Values([]time.Time{time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)})
	if err := table.SeedOldLeads(t.Context(), acme, lead.Defaults(), times); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(dynamotest.TableName), Key: rawKey("format", "format")}); err != nil {
		t.Fatal(err)
	}
	if err := table.CheckFormat(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "run leads reindex -account acme -mode test"
	if _, err := table.List(t.Context(), acme, lead.ListQuery{Limit: 10}); !errors.As(err, new(*dynamo.FormatError)) || !strings.Contains(err.Error(), want) {
		t.Errorf("a list: %v", err)
	}
	_, key := apikey.NewKey(acme, apikey.Read, time.Now(), time.Time{})
	if err := table.CreateKey(t.Context(), key); !errors.As(err, new(*dynamo.FormatError)) {
		t.Errorf("CreateKey: %v", err)
	}
	if err := table.Reindex(t.Context(), dynamo.Reindex{Tenant: acme, Progress: func(int64, int64, lead.ID) {}}); err != nil {
		t.Fatal(err)
	}
	if page, err := table.List(t.Context(), acme, lead.ListQuery{Limit: 10}); err != nil || page.Total != 2 {
		t.Errorf("a list after Reindex: %d leads, %v", page.Total, err)
	}
	meter.Reset()
	if _, err := table.List(t.Context(), acme, lead.ListQuery{Limit: 10}); err != nil || len(meter.Requests()) != 3 {
		t.Errorf("another list: %d requests, want the ordinary 3 (error %v)", len(meter.Requests()), err)
	}
}

// TestForeignItems reads items that this program did not write, where it expects
// its own. No call may panic or hang.
func TestForeignItems(t *testing.T) {
	client, _ := dynamotest.Start(t)
	s := func(text string) types.AttributeValue { return &types.AttributeValueMemberS{Value: text} }
	list := &types.AttributeValueMemberL{Value: []types.AttributeValue{s("x")}}
	const id = "lead_01k00000000000000000000000"
	for _, it := range []rawItem{
		{"pk": s("x"), "sk": s("y"), "tenant": s("acme/keys"), "created_at": s("z")},
		{"pk": s("key/0123456789ab"), "sk": s("key"), "tenant": s("acme/keys"), "created_at": s("y"), "scopes": list},
		{"pk": s("x"), "sk": s("z"), "tenant": s("acme/test"), "created_at": s("no time")},
		{"pk": s("acme/test/" + id), "sk": s("lead"), "tenant": s("acme/test"), "created_at": s("2026-01-01"), "v": s("one"), "u": list, "ln": list, "f": list},
		{"pk": s("acme/test/counters"), "sk": s("2026-03-01T09:3/x"), "c40": list},
		{"pk": s("acme/test/counters"), "sk": s("~"), "x": list},
		{"pk": s("acme/test/snapshot"), "sk": s("s"), "x": list},
		{"pk": s("acme/test/rollup"), "sk": s("y"), "after": list},
		{"pk": s("tenants"), "sk": s("acme")},
	} {
		putRaw(t, client, it)
	}
	table := dynamo.New(client, dynamotest.TableName)
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		err := call(ctx, table)
		t.Logf("%s: %v", name, err)
		if ctx.Err() != nil {
			t.Errorf("%s hangs", name)
		}
		cancel()
	}
	if _, err := table.FindKey(t.Context(), "0123456789ab"); err == nil {
		t.Error("FindKey accepted the item")
	}
	l, err := table.Retrieve(t.Context(), acme, id)
	t.Logf("retrieve: %v, %v", l.Values, err)
}
