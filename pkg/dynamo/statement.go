package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/lead"
)

// statement is what the books of a tenant say.
type statement struct {
	total   int64            // leads there are
	seconds map[string]int64 // those of them that were created in a second
}

// add enters a book.
func (s *statement) add(it item) {
	period := stringOf(it[attrSK])[:periodLength]
	for name, value := range it {
		switch n := intOf(value); {
		case name == attrPK || name == attrSK:
		case name[0] == 'c':
			s.total += n
			s.seconds[marked(period, name)] += n
		case name[0] == 'x':
			s.seconds[marked(period, name)] -= n
		case name[0] == 'd':
			s.total -= n
		}
	}
}

// statement reads the books, strongly consistent.
func (t *Table) statement(ctx context.Context, tenant lead.Tenant) (*statement, error) {
	s := &statement{seconds: map[string]int64{}}
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :books"),
		ExpressionAttributeValues: item{":books": text(booksOf(tenant))},
		ConsistentRead:            aws.Bool(true),
		ScanIndexForward:          aws.Bool(false),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fault(err)
		}
		for _, it := range page.Items {
			s.add(it)
		}
	}
	return s, nil
}
