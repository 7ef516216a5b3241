package dynamo_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

var limit = regexp.MustCompile(`"Limit":[0-9]+,`)

// splitQueries makes queries of the table return three items at a time, so that
// writes happen in between. In AWS a query reads its items one after another, and sees of
// a transaction that runs at the same time one item and not another.
func splitQueries(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
	ask, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if operation == "Query" && !bytes.Contains(ask, []byte("IndexName")) {
		ask = limit.ReplaceAll(ask, nil)
		ask = append([]byte(`{"Limit":3,`), ask[1:]...)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(ask)), int64(len(ask))
	return send.RoundTrip(r)
}

// TestListsAreExactUnderConcurrency has writers, deleters and readers at work
// together. What a list says must have been true while it was made: it has what
// was there before it began and stayed, and nothing that was gone before.
func TestListsAreExactUnderConcurrency(t *testing.T) {
	client, meter := dynamotest.Start(t)
	meter.Fault = splitQueries
	var calls, started, created, doomed, deleted atomic.Int64
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return start.Add(time.Duration(calls.Add(1)) * time.Second) }
	meter.Now = func() time.Time { return start.Add(time.Duration(calls.Load()) * time.Second) }
	process := func() *dynamo.Table {
		table := dynamo.New(client, dynamotest.TableName)
		table.Now = clock
		table.SetNear(3)
		return table
	}

	const leads = 90 // that each creator makes; two of three are deleted
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing, reading sync.WaitGroup
	var kept, gone sync.Map // of lead.ID
	ids := make(chan lead.ID, 4*leads)
	for range 2 { // processes, each with two creators and two deleters
		table := process()
		for range 2 {
			writing.Go(func() {
				for i := range leads {
					started.Add(1)
					made, _, err := table.Create(ctx, acme, lead.Defaults(), lead.IdempotencyKey{})
					if err != nil {
						t.Error(err)
						cancel()
						return
					}
					created.Add(1)
					kept.Store(made.ID, nil)
					if i%3 > 0 {
						ids <- made.ID
					}
				}
			})
			writing.Go(func() {
				for range leads / 3 * 2 {
					var id lead.ID
					select {
					case id = <-ids:
					case <-ctx.Done():
						return
					}
					doomed.Add(1)
					if err := table.Delete(ctx, acme, id, lead.Precondition{}); err != nil {
						t.Errorf("delete %s: %v", id, err)
						cancel()
						return
					}
					kept.Delete(id)
					gone.Store(id, nil)
					deleted.Add(1)
				}
			})
		}
	}
	done := make(chan struct{})
	for seed := range 2 {
		table, random := process(), rand.New(rand.NewPCG(uint64(seed), 0))
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				before := created.Load()
				offset := random.Int64N(before + 1)
				wasGone, wasDeleted := contents(&gone), deleted.Load()
				page, total, err := table.ListAt(t.Context(), acme, 20, offset)
				least, most := before-doomed.Load(), started.Load()-wasDeleted
				if err != nil {
					t.Error(err)
					return
				}
				if total < least || total > most {
					t.Errorf("total %d, want %d to %d", total, least, most)
				}
				if want := max(0, min(20, total-offset)); int64(len(page)) != want {
					t.Errorf("%d leads at offset %d of %d, want %d", len(page), offset, total, want)
				}
				for i, l := range page {
					if wasGone[l.ID] {
						t.Errorf("offset %d shows %s, which was gone before", offset, l.ID)
					}
					if i > 0 && l.ID >= page[i-1].ID {
						t.Errorf("offset %d shows %s after %s", offset, l.ID, page[i-1].ID)
					}
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()

	var model []lead.ID
	for id := range contents(&kept) {
		model = append(model, id)
	}
	slices.Sort(model)
	slices.Reverse(model)
	table := process()
	for offset := 0; offset <= len(model); offset += 7 {
		page, total, err := table.ListAt(t.Context(), acme, 20, int64(offset))
		if err != nil {
			t.Fatal(err)
		}
		want := model[offset:min(offset+20, len(model))]
		if got := idsOf(page); total != int64(len(model)) || !slices.Equal(got, want) {
			t.Errorf("offset %d: total %d of %d\n%v, want\n%v", offset, total, len(model), got, want)
		}
	}
}

func contents(m *sync.Map) map[lead.ID]bool {
	ids := map[lead.ID]bool{}
	m.Range(func(id, _ any) bool { ids[id.(lead.ID)] = true; return true })
	return ids
}
