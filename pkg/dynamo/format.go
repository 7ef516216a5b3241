package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Format is the version of what this package stores. Increase it with a change
// after which older code cannot use the same table, and say in docs/operations.md
// how to deploy the change. CreateTable, or the first CreateKey, stores the number
// in an item of the table. Earlier tables have no such item.
const Format = 1

// formatKey is the partition key and the sort key of that item.
const formatKey = "format"

// A FormatError means that this version cannot use the table. After
// [Table.CheckFormat] has returned it, every call of the [Table] returns it.
type FormatError struct{ message string }

// Error says which version wrote the table, and what to do.
func (e *FormatError) Error() string { return e.message }

// CheckFormat reads, with one request, which version wrote the table. It returns a
// [FormatError] if this version cannot use it.
func (t *Table) CheckFormat(ctx context.Context) error {
	it, err := t.getItem(ctx, itemKey(formatKey, formatKey))
	var refused *FormatError
	var apiError smithy.APIError
	switch stored := intOf(it[attrVersion]); {
	case errors.As(err, &apiError) && apiError.ErrorCode() == "ValidationException" && strings.Contains(apiError.ErrorMessage(), "key"):
		refused = &FormatError{"the table has other keys than pk and sk, so it is not a table of leads: set LEADS_TABLE to the name of yours"}
	case err != nil:
		return err
	case it == nil:
		t.unmarked.Store(true)
	case stored > Format:
		refused = &FormatError{fmt.Sprintf("the table was written by version %d of the format, and this is version %d: use the newest release of leads, also for the functions", stored, Format)}
	case stored < Format:
		refused = &FormatError{fmt.Sprintf("the table was written by version %d of the format, and this is version %d: see Upgrading in docs/operations.md", stored, Format)}
	}
	if refused == nil {
		return nil
	}
	t.refused.Store(refused)
	return refused
}

// refuse fails all requests of the table's client after CheckFormat failed.
func (t *Table) refuse(stack *middleware.Stack) error {
	check := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, m middleware.Metadata, err error) {
		if refused := t.refused.Load(); refused != nil {
			return out, m, refused
		}
		return next.HandleInitialize(ctx, in)
	}
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("RefuseFormat", check), middleware.Before)
}

// writeFormat stores the format in a table that has none.
func (t *Table) writeFormat(ctx context.Context) error {
	it := itemKey(formatKey, formatKey)
	it[attrVersion] = number(Format)
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: it, ConditionExpression: aws.String("attribute_not_exists(pk)")})
	if err != nil && !errors.As(err, new(*types.ConditionalCheckFailedException)) {
		return toStoreError(err)
	}
	return nil
}

// checkTenant returns a [FormatError] if the oldest lead of a tenant was written by
// an old version, whose index and counters this version does not read. Lists would
// not have those leads. It sends requests only for a table without a format, and only once
// for each tenant.
func (t *Table) checkTenant(ctx context.Context, tenant lead.Tenant) error {
	if _, checked := t.checked.Load(tenant); checked || !t.unmarked.Load() {
		return nil
	}
	ids, _, err := t.readIndex(ctx, tenant, counter.All, indexPart{before: endOfIndex, ascending: true}, 1)
	var items []item
	if err == nil && len(ids) > 0 {
		items, err = t.fetchItems(ctx, tenant, ids)
	}
	if err != nil {
		return err
	}
	for _, oldest := range items {
		if oldest[attrIndexed] == nil {
			return &FormatError{fmt.Sprintf("the leads of account %s in %s mode were written by a version before %d of the format, and this is version %[3]d: run leads reindex -account %[1]s -mode %[2]s", tenant.Account, tenant.Mode, Format)}
		}
	}
	t.checked.Store(tenant, true)
	return nil
}
