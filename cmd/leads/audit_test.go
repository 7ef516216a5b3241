package main

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/localdb"
)

// bucketCount matches the name of the number of leads created in ten seconds.
var bucketCount = regexp.MustCompile(`^c[0-9]{2}$`)

// corruptCounter adds seven to a counter of a tenant, such as acme/test, in the
// database of the leads serve that runs in dir.
func corruptCounter(ctx context.Context, dir, tenant string) error {
	endpoint, running, err := localdb.Running(filepath.Join(dir, ".leads"))
	if err != nil || !running {
		return errors.Join(err, errors.New("no engine is running"))
	}
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	partition := map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: tenant + "/counters"}}
	out, err := client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 aws.String("leads"),
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: partition,
	})
	if err != nil {
		return err
	}
	for _, item := range out.Items {
		for name := range item {
			if !bucketCount.MatchString(name) {
				continue
			}
			_, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName:                 aws.String("leads"),
				Key:                       map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]},
				UpdateExpression:          aws.String("ADD #name :seven"),
				ExpressionAttributeNames:  map[string]string{"#name": name},
				ExpressionAttributeValues: map[string]types.AttributeValue{":seven": &types.AttributeValueMemberN{Value: "7"}},
			})
			return err
		}
	}
	return errors.New("there is no counter")
}
