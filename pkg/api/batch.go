package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/lead"
)

// maxAtOnce is how many calls of the store a batch makes at once. Each is a writer
// of its own for the database to keep apart.
const maxAtOnce = 8

// operation is an operation of a batch, and its result.
type operation struct {
	method  string              // create, update or delete
	id      lead.ID             // of update and delete
	changes []lead.Change       // of create and update
	key     lead.IdempotencyKey // of create
	only    lead.Precondition   // of update and delete

	round int // see assignRounds

	lead     lead.Lead // after create and update
	replayed bool
	err      error
}

func (a *API) batchLeads(w *response, r *request) error {
	operations, err := r.operations()
	if err != nil {
		return err
	}
	a.runBatch(r.Context(), r.tenant, operations)

	body := []byte(`{"results":[`)
	for i, op := range operations {
		if i > 0 {
			body = append(body, ',')
		}
		body = op.appendResult(body)
		if op.err == nil {
			continue
		}
		p := problemOf(op.err)
		w.setRetryAfter(p)
		if p.status >= http.StatusInternalServerError {
			w.err = op.err // for the log
		}
	}
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
	if op.method == "create" {
		status = http.StatusCreated
	}
	dst = fmt.Appendf(dst, `{"status":%d,"etag":%q,`, status, etag(op.lead.Version))
	if op.replayed {
		dst = append(dst, `"replayed":true,`...)
	}
	dst = append(dst, `"lead":`...)
	return append(op.lead.AppendJSON(dst), '}')
}

// runBatch runs the operations that have no error yet, and sets their results.
func (a *API) runBatch(ctx context.Context, t lead.Tenant, operations []*operation) {
	last := assignRounds(operations)
	for round := 0; round <= last; round++ {
		var creates []*operation
		calls := [][]*operation{}
		for _, op := range operations {
			switch {
			case op.err != nil || op.round != round:
			case op.method == "create":
				creates = append(creates, op)
			default:
				calls = append(calls, []*operation{op})
			}
		}
		var group errgroup.Group
		group.SetLimit(maxAtOnce)
		for _, call := range append(calls, creates) {
			group.Go(func() error {
				a.runCall(ctx, t, call)
				return nil
			})
		}
		group.Wait() //nolint:errcheck // each operation has its error
	}
}

// assignRounds distributes operations over rounds that run one after another, and
// returns the number of the last. The operations of a round run side by side,
// except that creates keep their order. Operations of the same lead are in
// different rounds. No create is in an earlier round than the creates before it,
// because both may have the same idempotency key.
func assignRounds(operations []*operation) (last int) {
	next := map[lead.ID]int{} // the first round after the operations of a lead
	for _, op := range operations {
		if op.err == nil && op.method != "create" {
			op.round = next[op.id]
			next[op.id]++
		}
		last = max(last, op.round)
	}
	return last
}

// runCall runs operations of one round: creates, or one other operation.
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
	var creates []lead.CreateRequest
	for _, op := range operations {
		switch op.method {
		case "create":
			values := lead.Defaults()
			values.Apply(op.changes)
			creates = append(creates, lead.CreateRequest{Values: values, Key: op.key})
		case "update":
			op.lead, op.err = a.leads.Update(ctx, t, op.id, op.changes, op.only)
		case "delete":
			op.err = a.leads.Delete(ctx, t, op.id, op.only)
		}
		op.err = preconditionError(op.err, op.only)
	}
	if len(creates) == 0 {
		return
	}
	for i, result := range a.leads.CreateMany(ctx, t, creates) {
		op := operations[i]
		op.lead, op.replayed, op.err = result.Lead, result.Replayed, result.Err
	}
}
