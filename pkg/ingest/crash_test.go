package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/dynamo/dynamotest"
)

// TestEveryCrash lets the function end, or an answer get lost, at each request
// that a batch sends, to the database and to the queue of dead letters, and
// delivers the batch again: it must end as after one delivery that went well.
func TestEveryCrash(t *testing.T) {
	client, meter := dynamotest.Start(t)
	var batch, want []string
	for i := range 60 { // two transactions
		name := fmt.Sprintf("n%02d", i)
		batch, want = append(batch, sqsMessage(name, `{"lead_name":"`+name+`"}`)), append(want, name)
	}
	batch = append(batch, sqsMessage("bad", `{"lead_name":7}`))

	accounts := 0
	for _, fault := range []string{"ends before", "ends after", "hears no answer of"} {
		t.Run("the function "+fault+" a request", func(t *testing.T) {
			for n, met := 1, true; met; n++ {
				accounts++
				meter.Fault = nil
				w := worldOn(dynamo.New(client, dynamotest.TableName), meter, fmt.Sprint("a", accounts))
				// Some were made by an earlier delivery, so that transactions are
				// refused and tried again with fewer.
				w.wantFailed(t, records(batch[5:10]...))

				ctx, end := context.WithCancel(t.Context())
				requests := 0
				met = false
				at := func() bool { requests++; met = met || requests == n; return requests == n }
				meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
					if !at() {
						return send.RoundTrip(r)
					}
					if fault == "ends before" {
						end()
						return nil, ctx.Err()
					}
					resp, err := send.RoundTrip(r)
					if err == nil {
						resp.Body.Close()
					}
					if fault == "ends after" {
						end()
					}
					return nil, errors.New("connection reset")
				}
				w.dead.fault = func(int) error {
					if !at() {
						return nil
					}
					end()
					return ctx.Err()
				}
				w.invokeIn(t, ctx, records(batch...))
				meter.Fault, w.dead.fault = nil, nil
				end()

				w.wantFailed(t, records(batch...))
				w.wantNames(t, want...)
				w.wantDead(t, `parameter_invalid {"lead_name":7}`)
				if n > 30 {
					t.Fatal("a batch sends more than 30 requests")
				}
				if !met && n < 4 {
					t.Fatalf("a batch sends %d requests, too few for this test", requests)
				}
			}
		})
	}
}
