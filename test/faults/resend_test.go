package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/test/dynamotest"
)

// resend has the answer of an update get lost, lets others happen, and only
// then lets the second attempt through. It returns what the update was told.
func resend(ctx context.Context, w *world, r request, others func()) answer {
	return w.call(over(ctx, numbered(func(n int, x *exchange) (*http.Response, error) {
		switch {
		case x.operation != "UpdateItem" || n > 1: // the reading of the key, the second attempt
			return x.send()
		}
		resp, err := after(fails(io.EOF))(x)
		others()
		return resp, err
	})), r)
}

// TestLateUpdateUndoesNothing sends an update again after others were
// acknowledged, so many of them and so spread over time that any lesser memory
// of what was done would have forgotten the first.
func TestLateUpdateUndoesNothing(t *testing.T) {
	client := start(t)
	for _, header := range []map[string]string{nil, {"If-Match": `"1"`}, {"If-Match": "*"}, {"If-None-Match": `"9"`}} {
		for _, others := range []int{1, 5, 40} {
			// Half a period of nonces, nearly a whole, and at most as long as a
			// call is tried; from each of a few beginnings of a period.
			for _, took := range []time.Duration{0, 7 * time.Second, 10 * time.Second} {
				for _, begin := range []time.Duration{0, 5 * time.Second, 14 * time.Second} {
					t.Run(fmt.Sprintf("%v, %d others, %v, from %v", header, others, took, begin), func(t *testing.T) {
						t.Parallel()
						w, err := newWorld(t.Context(), client, 1, begin)
						if err != nil {
							t.Fatal(err)
						}
						process := w.process() // of the others
						r := request{method: "PATCH", path: "/lead_1", header: header, body: `{"city":"first","state":"kept"}`}
						told := resend(t.Context(), w, r, func() {
							for i := range others {
								w.pass(took / time.Duration(others))
								if a := w.callOn(t.Context(), process, request{method: "PATCH", path: "/lead_1", body: fmt.Sprintf(`{"city":"other %d"}`, i+1)}); a.status != 200 {
									t.Fatal(a)
								}
							}
						})
						v := right
						last := w.call(t.Context(), request{method: "GET", path: "/lead_1"})
						city := cityPattern.FindStringSubmatch(last.body)[1]
						switch {
						case told.status != 200:
							v = wrong
						case city != fmt.Sprintf("other %d", others):
							v = lost
						case last.etag != fmt.Sprintf(`"%d"`, others+2):
							v = doubled
						}
						proven.add("done unsaid, others after it, then sent again", "update", v)
						if v != right {
							t.Errorf("%v: told %v, then %v", v, told, last)
						}
					})
				}
			}
		}
	}
}

// TestUpdateSentAgainIsNoticedWithoutNonces breaks the product for the test
// above.
func TestUpdateSentAgainIsNoticedWithoutNonces(t *testing.T) {
	client := start(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	process := w.process()
	broken := context.WithValue(t.Context(), buildKey{}, build(noNonce))
	resend(broken, w, request{method: "PATCH", path: "/lead_1", body: `{"city":"first"}`}, func() {
		w.callOn(broken, process, request{method: "PATCH", path: "/lead_1", body: `{"city":"other"}`})
	})
	if a := w.call(t.Context(), request{method: "GET", path: "/lead_1"}); cityPattern.FindStringSubmatch(a.body)[1] != "first" {
		t.Errorf("the other update survived, although nothing guards it: %v", a)
	}
}

// TestBusyLeadStaysSmall updates a lead 50 times a second for a minute. An item
// of DynamoDB holds 400 KB.
func TestBusyLeadStaysSmall(t *testing.T) {
	t.Parallel()
	client := start(t)
	w, err := newWorld(t.Context(), client, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	largest := 0
	const perSecond = 50
	for i := range 60 * perSecond {
		w.pass(time.Second / perSecond)
		if a := w.call(t.Context(), request{method: "PATCH", path: "/lead_1", body: fmt.Sprintf(`{"city":"%d"}`, i)}); a.status != 200 {
			t.Fatal(a)
		}
		if i%perSecond == 0 {
			largest = max(largest, itemSize(t, client, w, "lead_1"))
		}
	}
	if largest > 64<<10 {
		t.Errorf("the item had %d bytes", largest)
	}
	t.Logf("at most %d bytes", largest)
	w.pass(time.Minute)
	w.call(t.Context(), request{method: "PATCH", path: "/lead_1", body: `{"city":"quiet"}`})
	w.pass(time.Minute)
	w.call(t.Context(), request{method: "PATCH", path: "/lead_1", body: `{"city":"quiet"}`})
	t.Logf("%d bytes after quiet minutes", itemSize(t, client, w, "lead_1"))
}

// itemSize returns the size of a lead's item, as DynamoDB counts it for strings
// and binary values, and somewhat more for numbers.
func itemSize(t *testing.T, client *dynamodb.Client, w *world, name string) (size int) {
	table := dynamotest.TableName
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: w.tenant.Account + "/" + string(w.tenant.Mode) + "/" + w.ids(name)},
		"sk": &types.AttributeValueMemberS{Value: "lead"},
	}})
	if err != nil || out.Item == nil {
		t.Fatalf("the item: %v", err)
	}
	for name, value := range out.Item {
		size += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += len(v.Value)
		case *types.AttributeValueMemberBS:
			for _, b := range v.Value {
				size += len(b) + 1
			}
		default:
			text, _ := json.Marshal(v)
			size += len(text)
		}
	}
	return size
}

// TestOneKeyMakesOneLead sends a thousand requests with one Idempotency-Key at
// the same time, to several processes.
func TestOneKeyMakesOneLead(t *testing.T) {
	t.Parallel()
	client := startPatient(t)
	w, err := newWorld(t.Context(), client, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	oneKey(t, t.Context(), w, 1000, 1000)
}

// oneKey sends so many requests with one key at once. At least some of them
// must be answered with the lead, and the others may be told to come again.
func oneKey(t *testing.T, ctx context.Context, w *world, requests, least int) {
	processes := []http.Handler{w.process(), w.process(), w.process(), w.process()}
	r := request{method: "POST", header: map[string]string{"Idempotency-Key": "one"}, body: `{"lead_name":"one"}`}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first, again, later int
	bodies := map[string]bool{}
	for i := range requests {
		wg.Go(func() {
			a := w.callOn(ctx, processes[i%len(processes)], r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == 201 && a.replay == "":
				first++
			case a.status == 201:
				again++
			case busy(a):
				later++
				return
			default:
				t.Error(a)
			}
			bodies[a.location+a.body] = true
		})
	}
	wg.Wait()
	total := number(totalPattern, w.call(t.Context(), request{method: "GET", path: "?limit=1"}).body)
	v := right
	if first > 1 || len(bodies) != 1 || total != 1 {
		v = doubled
		t.Errorf("%d leads and %d answers of one key, %d told to be the first", total, len(bodies), first)
	}
	if first+again < least {
		v = wrong
		t.Errorf("only %d of %d got the lead", first+again, requests)
	}
	proven.add("many at once with one key", "create with key", v)
	t.Logf("the first %d, replayed %d, told to come again %d", first, again, later)
}
