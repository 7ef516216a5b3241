package dynamo

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Table is the table: it keeps leads and API keys. Make one with [New] or
// [Open]. It is safe for concurrent use.
type Table struct {
	client  *dynamodb.Client
	name    string
	mint    lead.IDGenerator
	lanes   lanes
	near    int64 // see nearOffset
	reached reached
	rest    func(context.Context, time.Duration) error

	// Now tells the time. Tests that move it set it before the first call.
	Now func() time.Time
}

// New returns the table of this name. It sends nothing.
func New(client *dynamodb.Client, name string) *Table {
	return &Table{client: client, name: name, lanes: lanes{intN: rand.IntN}, near: nearOffset, rest: rest, Now: time.Now}
}

// The names of attributes, beside those of lead.Fields.
const (
	attrPK      = "pk"
	attrSK      = "sk"
	attrTenant  = "tenant"     // hash key of the index
	attrCreated = "created_at" // range key of the index
	attrUpdated = "u"          // Unix milliseconds
	attrVersion = "v"
	attrExpires = "expires" // Unix seconds; DynamoDB removes the item some time after

	indexName = "created_at"

	leadSort = "lead" // range key of a lead
)

// item is an item, or the key of one, as the SDK has it.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: itoa(n)}
}

func key(pk, sk string) item { return item{attrPK: text(pk), attrSK: text(sk)} }

// tenantName begins the partition key of all that belongs to the tenant. An
// account has no slash in its name, so no two tenants share a beginning.
func tenantName(t lead.Tenant) string { return t.Account + "/" + string(t.Mode) }

func leadKey(t lead.Tenant, id lead.ID) item {
	return key(tenantName(t)+"/"+string(id), leadSort)
}

// leadID returns the id of the lead that has this key.
func leadID(k item) lead.ID {
	pk := stringOf(k[attrPK])
	return lead.ID(pk[strings.LastIndexByte(pk, '/')+1:])
}

// createdAt is the range key of the index. It sorts by time and then by id,
// and each of its prefixes is a span of time: a day, ten minutes, a second.
func createdAt(id lead.ID) string {
	return id.Time().Format("2006-01-02T15:04:05.000000000Z") + id.Random()
}

// Retrieve implements [lead.Store] with one strongly consistent read.
func (t *Table) Retrieve(ctx context.Context, tenant lead.Tenant, id lead.ID) (lead.Lead, error) {
	it, err := t.get(ctx, leadKey(tenant, id))
	if err != nil {
		return lead.Lead{}, err
	}
	if it == nil {
		return lead.Lead{}, lead.ErrNotFound
	}
	return leadOf(it), nil
}

// retrieveIf returns the lead, or why it is not at a version that the caller
// asked for.
func (t *Table) retrieveIf(ctx context.Context, tenant lead.Tenant, id lead.ID, only lead.Precondition) (lead.Lead, error) {
	l, err := t.Retrieve(ctx, tenant, id)
	if err == nil && !only.Holds(l.Version) {
		return lead.Lead{}, lead.ErrPreconditionFailed
	}
	return l, err
}

// get reads an item, strongly consistent; it is nil where there is none.
func (t *Table) get(ctx context.Context, key item) (item, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fault(err)
	}
	return out.Item, nil
}
