package dynamo

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// Table is the DynamoDB table. It stores leads and API keys. Get one from [New]
// or [Open]. It is safe for concurrent use.
type Table struct {
	client   *dynamodb.Client
	name     string
	ids      lead.IDGenerator
	shards   counter.Shards
	clock    *counter.Clock
	counters *counter.Counters
	upserts  locks // by address
	near     int64 // see nearOffset
	sleep    func(context.Context, time.Duration) error

	hasListed atomic.Bool // List was called

	refused  atomic.Pointer[FormatError] // of CheckFormat
	unmarked atomic.Bool                 // the table has no format
	checked  sync.Map                    // tenants that checkTenant found right

	// Now returns the time of the local clock. It need not be right. A test
	// that changes it must do so before the first call.
	Now func() time.Time

	// Filters are the names of the fields that lists can be filtered by, out of
	// [lead.FilterNames]. [New] sets all. Each costs a create 2 write units. If
	// the setting changes, call [Table.Reindex].
	Filters []string

	// VersionOffset is added to the versions that the table stores. It is 0 unless
	// the table was restored.
	VersionOffset int64
}

// New returns the table with this name. The client must have been created with
// [Configure]. New sends no request.
func New(client *dynamodb.Client, name string) *Table {
	t := &Table{name: name, near: nearOffset, sleep: sleepContext, Now: time.Now, Filters: lead.FilterNames[:]}
	t.clock = &counter.Clock{Local: func() time.Time { return t.Now() }}
	t.client = dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, t.refuse) })
	t.counters = counter.New(t.client, name, t.clock)
	return t
}

// WarmUp calls CheckFormat. A Lambda function does so during its init phase, when
// it has more CPU time than later, so that the connection to DynamoDB and the code
// for requests are ready for the first event. WarmUp takes at most a second. It
// ignores errors, because the first event reports them.
func (t *Table) WarmUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = t.CheckFormat(ctx)
}

// Retrieve implements [lead.Store] with one strongly consistent read.
func (t *Table) Retrieve(ctx context.Context, tenant lead.Tenant, id lead.ID) (lead.Lead, error) {
	it, err := t.getItem(ctx, leadKey(tenant, id))
	if err != nil {
		return lead.Lead{}, err
	}
	if it == nil {
		return lead.Lead{}, lead.ErrNotFound
	}
	return t.leadFromItem(it), nil
}

// retrieveMatching returns the lead, or [lead.ErrPreconditionFailed] if its
// version does not meet the precondition.
func (t *Table) retrieveMatching(ctx context.Context, tenant lead.Tenant, id lead.ID, precondition lead.Precondition) (lead.Lead, error) {
	l, err := t.Retrieve(ctx, tenant, id)
	if err == nil && !precondition.Holds(l.Version) {
		return lead.Lead{}, lead.ErrPreconditionFailed
	}
	return l, err
}

// getItem reads an item with strong consistency. It returns nil if there is no
// such item.
func (t *Table) getItem(ctx context.Context, key item) (item, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, toStoreError(err)
	}
	t.clock.ObserveAnswer(out.ResultMetadata)
	return out.Item, nil
}
