package dynamo

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lead"
)

// tenantsPartition is the partition key of an item for each tenant.
const tenantsPartition = "tenants"

// AddTenant adds a tenant to those that [Table.Tenants] returns. [Table.CreateKey]
// does so too. Call it for a tenant that may have leads and no API key.
func (t *Table) AddTenant(ctx context.Context, tenant lead.Tenant) error {
	out, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: itemKey(tenantsPartition, tenantName(tenant))})
	if err != nil {
		return toStoreError(err)
	}
	t.clock.ObserveAnswer(out.ResultMetadata)
	return nil
}

// Tenants returns all tenants, sorted by name. It knows those for which a key was
// created, or AddTenant or Reindex was called, with this version or later.
func (t *Table) Tenants(ctx context.Context) (tenants []lead.Tenant, err error) {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :tenants"),
		ExpressionAttributeValues: item{":tenants": text(tenantsPartition)},
		ConsistentRead:            aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, toStoreError(err)
		}
		for _, it := range page.Items {
			account, mode, _ := strings.Cut(stringOf(it[attrSK]), "/")
			tenants = append(tenants, lead.Tenant{Account: account, Mode: lead.Mode(mode)})
		}
	}
	return tenants, nil
}
