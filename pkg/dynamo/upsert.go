package dynamo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

// An upsert reads the index rows of its e-mail address, and then creates a lead or
// updates the one that has the address. Both depend on the rows, and DynamoDB has no
// condition for rows that do not exist. So an upsert also reads and replaces the
// guard of the address: an item that says which version of which lead an upsert
// wrote last. If another upsert has replaced the guard in the meantime, the
// transaction fails, and the upsert reads the rows again.
//
// A query may see only some of the writes of a concurrent transaction. If the guard
// names a lead, but the query did not return its row, the row may exist
// nevertheless. So the transaction has the condition that it does not exist.
//
// An upsert that updates a lead replaces the guard too. Otherwise another upsert, which
// read the rows before this lead had the address, could create a second lead. If the
// lead was not changed for guardTime, no such upsert is running any more, and the guard
// stays as it is.
//
// Ordinary creates and updates do not use the guard. They count as later than an
// upsert that read the rows before they wrote theirs.
const (
	// guardSort is the sort key of a guard, which is in the partition of the
	// rows of its address. It sorts after endOfIndex, so lists do not read it.
	guardSort = "~"

	// guardTime is longer than an upsert can take. An upsert is retried for
	// retryTimeout, and DynamoDB accepts its last request for 15 minutes. After
	// this time a guard expires.
	guardTime = time.Hour

	// maxMatches is how many leads a [lead.AmbiguousError] names.
	maxMatches = 10

	// stableTime is how long ago the last change of a lead must be, by the clock of
	// its writer, so that it certainly took effect before now.
	stableTime = maxDelayed + 2*counter.MaxDrift
)

// errReadAgain means that an upsert must read the rows of the address again.
var errReadAgain = errors.New("the leads with the address may have changed")

// Upsert implements [lead.Store]. A create takes 2 requests, and an update 3, or 4 if
// the lead was updated within stableTime. Leads that have no index row of the
// e-mail address are not found, see [Table.Reindex].
func (t *Table) Upsert(ctx context.Context, tenant lead.Tenant, changes []lead.Change, only lead.Precondition) (l lead.Lead, created bool, err error) {
	if _, err := lead.MatchKey(changes); err != nil {
		return lead.Lead{}, false, err
	}
	field := lead.FieldNamed(lead.MatchName)
	if !t.hasFilter(field) {
		return lead.Lead{}, false, lead.ErrFilterOff
	}
	u := &upsert{t: t, tenant: tenant, changes: changes, values: lead.Defaults(), only: only}
	u.values.Apply(changes)
	u.series, _ = seriesOf(field, u.values[field])
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	address := rowsOf(tenant, u.series)
	if err := t.upserts.lock(ctx, address); err != nil {
		return lead.Lead{}, false, toStoreError(err)
	}
	defer t.upserts.unlock(address)
	for attempt := 0; ; attempt++ {
		l, created, err = u.try(ctx)
		if !errors.Is(err, errReadAgain) {
			return l, created, err
		}
		// The first retry is immediate: the lead was only read, or has just been
		// created.
		if attempt > 0 && t.waitBeforeRetry(ctx, attempt, nil) != nil {
			return lead.Lead{}, false, toStoreError(ctx.Err())
		}
	}
}

// upsert is an upsert of one lead.
type upsert struct {
	t       *Table
	tenant  lead.Tenant
	changes []lead.Change
	values  lead.Values // of a new lead
	only    lead.Precondition
	series  counter.Series // of the e-mail address

	// These are the results of the last query, and the time before it was sent.
	readAt time.Time
	ids    []lead.ID
	guard  item // nil if there is none

	was item // a lead that was read before the last query
}

// try reads the rows and makes one attempt to create or update a lead.
func (u *upsert) try(ctx context.Context) (l lead.Lead, created bool, err error) {
	if err := u.readRows(ctx); err != nil {
		return lead.Lead{}, false, err
	}
	switch {
	case len(u.ids) > 1:
		return lead.Lead{}, false, &lead.AmbiguousError{IDs: u.ids}
	case len(u.ids) == 1:
		l, err = u.update(ctx)
		return l, false, err
	case u.only.Match != nil:
		return lead.Lead{}, false, lead.ErrNotFound
	}
	l, err = u.create(ctx)
	return l, true, err
}

// readRows reads which leads have the e-mail address, and the guard.
func (u *upsert) readRows(ctx context.Context) error {
	expr, err := expression.NewBuilder().
		WithKeyCondition(expression.Key(attrPK).Equal(expression.Value(rowsOf(u.tenant, u.series)))).Build()
	if err != nil {
		return err
	}
	u.readAt, u.ids, u.guard = u.t.clock.Now(), nil, nil
	pages := dynamodb.NewQueryPaginator(u.t.client, &dynamodb.QueryInput{
		TableName:                 &u.t.name,
		KeyConditionExpression:    expr.KeyCondition(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
		ConsistentRead:            aws.Bool(true),
		Limit:                     aws.Int32(maxMatches),
	})
	for len(u.ids) < maxMatches && pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return toStoreError(err)
		}
		for _, it := range page.Items {
			if sortKey := stringOf(it[attrSK]); sortKey == guardSort {
				u.guard = it
			} else {
				u.ids = append(u.ids, idOf(sortKey))
			}
		}
		u.t.clock.ObserveAnswer(page.ResultMetadata)
	}
	return nil
}

// create creates a lead, and replaces the guard in the same transaction.
func (u *upsert) create(ctx context.Context) (created lead.Lead, err error) {
	err = u.t.writeTransaction(ctx, u.tenant, func(at time.Time) ([]types.TransactWriteItem, *counter.Change, error) {
		created = u.t.newLead(u.t.ids.Next(at), u.values)
		change := counter.NewChange(created.CreatedAt)
		guard, err := u.replaceGuard(&created)
		rows := u.t.createRows(u.tenant, &created, u.t.indexed(), change)
		return slices.Concat([]types.TransactWriteItem{u.t.putLead(u.tenant, &created)}, guard, rows), change, err
	})
	if conditionFailed(cancellationReason(err, 0)) {
		// The id is new, so an earlier attempt of this call created the lead and its
		// response was lost.
		return created, nil
	}
	return created, u.guardError(err)
}

// update updates the only lead with the address.
//
// The lead must have had no other change since the query: otherwise another lead may
// have got the address before that change. So if the lead may have changed between
// the query and its read, the query is repeated.
func (u *upsert) update(ctx context.Context) (lead.Lead, error) {
	id := u.ids[0]
	if u.was == nil || leadID(u.was) != id {
		was, err := u.t.getItem(ctx, leadKey(u.tenant, id))
		if err != nil {
			return lead.Lead{}, err
		}
		if u.was = was; was == nil || u.mayHaveChanged(was) {
			return lead.Lead{}, errReadAgain
		}
	}
	update := u.t.newUpdate(u.tenant, id, u.changes)
	next := u.t.leadFromItem(u.was)
	next.Version++
	if next.UpdatedAt.After(u.readAt.Add(-guardTime)) {
		var err error
		if update.with, err = u.replaceGuard(&next); err != nil {
			return lead.Lead{}, err
		}
	}
	updated, failed, err := update.updateUnchanged(ctx, u.was, u.only)
	switch {
	case failed != nil:
		u.was = failed
		return lead.Lead{}, errReadAgain
	case errors.Is(err, lead.ErrNotFound) && update.unknown.IsZero():
		return lead.Lead{}, errReadAgain
	case errors.Is(err, lead.ErrNotFound):
		err := errors.New("the outcome of an upsert is unknown, and the lead was deleted")
		return lead.Lead{}, &lead.UnavailableError{RetryAfter: retryAfter, Err: err}
	}
	return updated, u.guardError(err)
}

// mayHaveChanged reports whether a lead may have changed between the query and now,
// when it was read as this item. It has not changed if this is its first version, if
// it is the version that the guard names, or if its last change was long before.
func (u *upsert) mayHaveChanged(is item) bool {
	l := u.t.leadFromItem(is)
	isGuarded := stringOf(u.guard[attrLead]) == string(l.ID) && intOf(u.guard[attrVersion]) == l.Version
	return intOf(is[attrVersion]) > 1 && !isGuarded && l.UpdatedAt.After(u.readAt.Add(-stableTime))
}

// replaceGuard returns the writes of a transaction that writes this lead: they replace
// the guard, on condition that nothing has changed since it was read.
func (u *upsert) replaceGuard(l *lead.Lead) ([]types.TransactWriteItem, error) {
	condition := expression.Name(attrPK).AttributeNotExists()
	if u.guard != nil { // no two guards have the same lead and version
		condition = expression.Name(attrLead).Equal(expression.Value(u.guard[attrLead])).
			And(expression.Name(attrVersion).Equal(expression.Value(u.guard[attrVersion])))
	}
	expr, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return nil, err
	}
	guard := itemKey(rowsOf(u.tenant, u.series), guardSort)
	guard[attrLead] = text(string(l.ID))
	guard[attrVersion] = number(l.Version)
	guard[attrExpires] = number(u.readAt.Add(guardTime).Unix())
	writes := []types.TransactWriteItem{{Put: &types.Put{
		TableName:                 &u.t.name,
		Item:                      guard,
		ConditionExpression:       expr.Condition(),
		ExpressionAttributeNames:  expr.Names(),
		ExpressionAttributeValues: expr.Values(),
	}}}
	last := lead.ID(stringOf(u.guard[attrLead]))
	if last != "" && !slices.Contains(u.ids, last) && intOf(u.guard[attrExpires]) > u.readAt.Unix() {
		writes = append(writes, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName:           &u.t.name,
			Key:                 rowKey(u.tenant, u.series, last),
			ConditionExpression: aws.String("attribute_not_exists(pk)"),
		}})
	}
	return writes, nil
}

// guardError returns errReadAgain if a condition of replaceGuard was false, or err.
func (u *upsert) guardError(err error) error {
	if anyWrite(err, 1, 3, codeConditionFailed) {
		return errReadAgain
	}
	return err
}

// locks are locks with names. They make the upserts of one address in a process
// run one after another, because concurrent ones would make each other read the
// rows again. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the lock is released
}

// lock waits for the lock, or returns the error of ctx if that ends first.
func (l *locks) lock(ctx context.Context, name string) error {
	for {
		l.mu.Lock()
		released, isHeld := l.held[name]
		if !isHeld {
			if l.held == nil {
				l.held = map[string]chan struct{}{}
			}
			l.held[name] = make(chan struct{})
		}
		l.mu.Unlock()
		if !isHeld {
			return nil
		}
		select {
		case <-released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *locks) unlock(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[name])
	delete(l.held, name)
}
