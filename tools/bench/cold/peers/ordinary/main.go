// Command ordinary is a function as most are written: it answers a request for
// a lead with one GetItem, has the SDK's default configuration, does nothing
// before the first request, and checks no API key.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	h := handler{dynamodb.NewFromConfig(cfg), os.Getenv("LEADS_TABLE"), os.Getenv("LEADS_ACCOUNT") + "/" + os.Getenv("LEADS_MODE")}
	lambda.Start(h.retrieveLead)
}

type handler struct {
	client        *dynamodb.Client
	table, tenant string
}

func (h handler) retrieveLead(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	out, err := h.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &h.table,
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: h.tenant + "/" + e.PathParameters["id"]},
			"sk": &types.AttributeValueMemberS{Value: "lead"},
		},
	})
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	var item map[string]any
	if err := attributevalue.UnmarshalMap(out.Item, &item); err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	body, err := json.Marshal(item)
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusOK,
		Headers:    map[string]string{"Content-Type": "application/json"},
		Body:       string(body),
	}, err
}
