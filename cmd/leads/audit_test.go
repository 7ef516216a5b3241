package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/localdb"
)

// harm adds seven to a count in the books of a tenant, such as acme/test, of the
// leads serve that runs in a directory.
func harm(ctx context.Context, dir, tenant string) error {
	endpoint, running, err := localdb.Running(filepath.Join(dir, ".leads"))
	if err != nil || !running {
		return errors.Join(err, errors.New("no engine is running"))
	}
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	books := map[string]types.AttributeValue{":books": &types.AttributeValueMemberS{Value: tenant + "/books"}}
	out, err := client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 aws.String("leads"),
		KeyConditionExpression:    aws.String("pk = :books"),
		ExpressionAttributeValues: books,
	})
	if err != nil {
		return err
	}
	for _, book := range out.Items {
		for mark := range book {
			if !strings.HasPrefix(mark, "c") {
				continue
			}
			_, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName:                 aws.String("leads"),
				Key:                       map[string]types.AttributeValue{"pk": book["pk"], "sk": book["sk"]},
				UpdateExpression:          aws.String("ADD #mark :seven"),
				ExpressionAttributeNames:  map[string]string{"#mark": mark},
				ExpressionAttributeValues: map[string]types.AttributeValue{":seven": &types.AttributeValueMemberN{Value: "7"}},
			})
			return err
		}
	}
	return errors.New("there are no books")
}
