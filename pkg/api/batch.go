package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/lead"
)

// maxAtOnce is how many calls of the store a batch makes at once. Each call is one
// more concurrent writer of the counters.
const maxAtOnce = 8

// operation is an operation of a batch, and its result.
type operation struct {
	method  string              // create, update, delete or upsert
	id      lead.ID             // of update and delete
	changes []lead.Change       // of create, update and upsert
	key     lead.IdempotencyKey // of create
	only    lead.Precondition   // of update, delete and upsert

	round int // see assignRounds

	lead     lead.Lead // after create, update and upsert
	created  bool
	replayed bool
	err      error
}

func (a *API) batchLeads(w *response, r *request) error {
	operations, err := r.parseBatch()
	if err != nil {
		return err
	}
	a.runBatch(r.Context(), r.tenant, operations)

	body := []byte(`{"results":[`)
	var retryAfter time.Duration
	for i, op := range operations {
		if i > 0 {
			body = append(body, ',')
		}
		body = op.appendResult(body)
		if op.err == nil {
			continue
		}
		p := problemOf(op.err)
		retryAfter = max(retryAfter, p.retryAfter)
		// The log line has one error. One that is unexpected says more than a 503.
		if p.status == http.StatusInternalServerError || p.status > http.StatusInternalServerError && w.err == nil {
			w.err = op.err
		}
	}
	w.setRetryAfter(retryAfter)
	w.setJSON(http.StatusOK, append(body, "]}"...))
	w.compress(r.Request)
	return nil
}

// appendResult appends the result of the operation to dst as a JSON object.
func (op *operation) appendResult(dst []byte) []byte {
	switch {
	case op.err != nil:
		return fmt.Appendf(dst, `{"status":%d,"error":%s}`, problemOf(op.err).status, ErrorJSON(op.err, ""))
	case op.method == "delete":
		return fmt.Appendf(dst, `{"status":%d,"id":%q,"deleted":true}`, http.StatusOK, op.id)
	}
	status := http.StatusOK
	if op.created {
		status = http.StatusCreated
	}
	dst = fmt.Appendf(dst, `{"status":%d,"etag":%q,"lead":`, status, etag(op.lead.Version))
	dst = op.lead.AppendJSON(dst)
	if op.replayed {
		dst = append(dst, `,"replayed":true`...)
	}
	return append(dst, '}')
}

// runBatch runs the operations that have no error yet, and sets their results.
func (a *API) runBatch(ctx context.Context, t lead.Tenant, operations []*operation) {
	last := assignRounds(operations)
	for round := 0; round <= last; round++ {
		var creates []*operation
		var calls [][]*operation
		for _, op := range operations {
			switch {
			case op.err != nil || op.round != round:
			case op.method == "create":
				creates = append(creates, op)
			default:
				calls = append(calls, []*operation{op})
			}
		}
		if len(creates) > 0 {
			calls = append(calls, creates)
		}
		var group errgroup.Group
		group.SetLimit(maxAtOnce)
		for _, call := range calls {
			group.Go(func() error {
				a.runCall(ctx, t, call)
				return nil
			})
		}
		group.Wait() //nolint:errcheck // each operation has its error
	}
}

// assignRounds distributes operations over rounds that run one after another, and
// returns the number of the last. The operations of a round run concurrently,
// except that creates keep their order. These operations are in a later round
// than the earlier ones that they depend on:
//   - updates and deletes of the same lead,
//   - creates and upserts of the same e-mail address, if one is an upsert,
//   - upserts after updates and deletes, and the other way round, because it is not
//     known which lead an upsert updates.
//
// No create is in an earlier round than the creates before it, because both may have
// the same idempotency key.
func assignRounds(operations []*operation) (last int) {
	// For each kind of operation so far, the round after its last one.
	var changes, upserts, creates int
	changesOf, upsertsOf, createsOf := map[lead.ID]int{}, map[string]int{}, map[string]int{}
	for _, op := range operations {
		if op.err != nil {
			continue
		}
		address, _ := lead.MatchKey(op.changes)
		switch op.method {
		case "create":
			op.round = max(creates-1, upsertsOf[address])
			creates, createsOf[address] = op.round+1, op.round+1
		case "upsert":
			op.round = max(changes, upsertsOf[address], createsOf[address])
			upserts, upsertsOf[address] = max(upserts, op.round+1), op.round+1
		default:
			op.round = max(upserts, changesOf[op.id])
			changes, changesOf[op.id] = max(changes, op.round+1), op.round+1
		}
		last = max(last, op.round)
	}
	return last
}

// runCall runs operations of one round: creates, or one other operation. Its errors,
// panics included, become their results.
func (a *API) runCall(ctx context.Context, t lead.Tenant, operations []*operation) {
	fail := func(err error) {
		for _, op := range operations {
			op.err = err
		}
	}
	defer func() {
		if p := recover(); p != nil {
			fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if ctx.Err() != nil {
		fail(ctx.Err())
		return
	}
	if operations[0].method == "create" {
		a.runCreates(ctx, t, operations)
	} else {
		a.runOperation(ctx, t, operations[0])
	}
}

func (a *API) runCreates(ctx context.Context, t lead.Tenant, operations []*operation) {
	var requests []lead.CreateRequest
	for _, op := range operations {
		values := lead.Defaults()
		values.Apply(op.changes)
		requests = append(requests, lead.CreateRequest{Values: values, Key: op.key})
	}
	for i, result := range a.leads.CreateMany(ctx, t, requests) {
		op := operations[i]
		op.lead, op.created, op.replayed, op.err = result.Lead, true, result.Replayed, result.Err
	}
}

func (a *API) runOperation(ctx context.Context, t lead.Tenant, op *operation) {
	var err error
	switch op.method {
	case "update":
		op.lead, err = a.leads.Update(ctx, t, op.id, op.changes, op.only)
	case "delete":
		err = a.leads.Delete(ctx, t, op.id, op.only)
	case "upsert":
		op.lead, op.created, err = a.leads.Upsert(ctx, t, op.changes, op.only)
		err = upsertError(err)
	}
	op.err = preconditionError(err, op.only)
}
