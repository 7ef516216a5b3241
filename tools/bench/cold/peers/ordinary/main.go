// Command ordinary is a function as most are written: it answers a request for
// a lead with one GetItem, with the SDK's usual configuration, no work before
// the first request, and no API key to check. The others are compared with it.
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
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	h := handler{dynamodb.NewFromConfig(settings), os.Getenv("LEADS_TABLE"), os.Getenv("TENANT")}
	lambda.Start(h.retrieve)
}

type handler struct {
	client        *dynamodb.Client
	table, tenant string
}

func (h handler) retrieve(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
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
	if out.Item == nil {
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusNotFound}, nil
	}
	var found map[string]any
	if err := attributevalue.UnmarshalMap(out.Item, &found); err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	body, err := json.Marshal(found)
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusOK,
		Headers:    map[string]string{"Content-Type": "application/json"},
		Body:       string(body),
	}, err
}
