package audit_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/audit"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// metrics is a line in the embedded metric format.
type metrics struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name string }
		}
	} `json:"_aws"`
	Account                        string
	AuditedLeads, AuditDifferences int
}

// TestAuditorTakesTurns audits three accounts, of which one has a wrong counter.
func TestAuditorTakesTurns(t *testing.T) {
	client, _ := dynamotest.Start(t)
	table := dynamo.New(client, dynamotest.TableName)
	for i, account := range []string{"ann", "bob", "cy"} {
		tenant := lead.Tenant{Account: account, Mode: lead.Test}
		if err := table.CreateKey(t.Context(), apikey.Key{ID: account, Tenant: tenant}); err != nil {
			t.Fatal(err)
		}
		for range i + 1 {
			if _, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	harm(t, client, "bob/test/counters")

	var out, log bytes.Buffer
	auditor := audit.Auditor{Table: table, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: &out, Namespace: "leads/dev"}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	audited := map[string]metrics{}
	for hour := range 3 {
		out.Reset()
		at := start.Add(time.Duration(hour) * time.Hour)
		if err := auditor.Run(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		var m metrics
		if err := json.Unmarshal(out.Bytes(), &m); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Fatalf("%v: %s", err, out.String())
		}
		published := m.AWS.CloudWatchMetrics
		if len(published) != 1 || published[0].Namespace != "leads/dev" || len(published[0].Dimensions) != 1 || len(published[0].Dimensions[0]) != 0 ||
			len(published[0].Metrics) != 2 || m.AWS.Timestamp != at.UnixMilli() {
			t.Errorf("metrics %s", out.String())
		}
		audited[m.Account] = m
	}
	for account, want := range map[string]int{"ann": 1, "bob": 2, "cy": 3} {
		if got := audited[account]; got.AuditedLeads != want || (got.AuditDifferences > 0) != (account == "bob") {
			t.Errorf("%s: %d leads, %d differences", account, got.AuditedLeads, got.AuditDifferences)
		}
	}
	if !strings.Contains(log.String(), "account=bob") || strings.Contains(log.String(), "account=cy") {
		t.Errorf("log: %s", log.String())
	}
}

// harm adds 7 leads to a counter item.
func harm(t *testing.T, client *dynamodb.Client, partition string) {
	t.Helper()
	out, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName:                 aws.String(dynamotest.TableName),
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: partition}},
	})
	if err != nil || len(out.Items) == 0 {
		t.Fatalf("%d counter items, error %v", len(out.Items), err)
	}
	for name := range out.Items[0] {
		if !strings.HasPrefix(name, "c") {
			continue
		}
		_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName:                 aws.String(dynamotest.TableName),
			Key:                       map[string]types.AttributeValue{"pk": out.Items[0]["pk"], "sk": out.Items[0]["sk"]},
			UpdateExpression:          aws.String("ADD #count :n"),
			ExpressionAttributeNames:  map[string]string{"#count": name},
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": &types.AttributeValueMemberN{Value: "7"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no count")
}
