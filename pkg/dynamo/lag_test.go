package dynamo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// lag makes the index late: it shows what it showed when the lag began, for a
// number of queries.
type lag struct {
	shown   map[string]bool // partition keys of the leads that were there
	gone    []map[string]any
	queries int
}

// intercept answers queries of the index from the past. It lets the engine
// answer, takes out what is newer, and puts in what is gone.
func (l *lag) intercept(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
	ask, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(ask))
	var query struct {
		IndexName                 string
		Limit                     int
		ExpressionAttributeValues map[string]struct{ S string }
	}
	if err := json.Unmarshal(ask, &query); err != nil || query.IndexName == "" || l.queries == 0 {
		return send.RoundTrip(r)
	}
	l.queries--
	whole := bytes.Replace(ask, []byte(`"Limit":`), []byte(`"Unlimited":`), 1)
	whole = bytes.Replace(whole, []byte(`"ProjectionExpression":`), []byte(`"Unprojected":`), 1)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
	resp, err := send.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Items            []map[string]any
		LastEvaluatedKey map[string]any `json:",omitempty"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	resp.Body.Close()
	created := func(it map[string]any) string { return it["created_at"].(map[string]any)["S"].(string) }
	answer.Items = slices.DeleteFunc(answer.Items, func(it map[string]any) bool {
		return !l.shown[it["pk"].(map[string]any)["S"].(string)]
	})
	for _, it := range l.gone {
		if created(it) < query.ExpressionAttributeValues[":from"].S {
			answer.Items = append(answer.Items, it)
		}
	}
	slices.SortFunc(answer.Items, func(a, b map[string]any) int {
		return -bytes.Compare([]byte(created(a)), []byte(created(b)))
	})
	if len(answer.Items) > query.Limit {
		answer.Items = answer.Items[:query.Limit]
		answer.LastEvaluatedKey = answer.Items[query.Limit-1]
	}
	for i, it := range answer.Items {
		answer.Items[i] = map[string]any{"pk": it["pk"], "sk": it["sk"]}
	}
	late, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(late)), int64(len(late))
	return resp, nil
}

// TestListsAreExactWhileTheIndexLags creates and deletes leads while the index
// shows an older state, for a few queries or until it is asked no more.
func TestListsAreExactWhileTheIndexLags(t *testing.T) {
	tenant := lead.Tenant{Account: "acme", Mode: lead.Test}
	const leads = 150
	for name, test := range map[string]struct {
		between time.Duration // creates
		created int           // while the index lags
		deleted []int         // ranks, while the index lags
		offset  int
	}{
		"a list right after a create contains the lead":            {time.Second, 1, nil, 0},
		"a list right after a delete fills its page without it":    {time.Second, 0, []int{2}, 0},
		"a delete on the page is made up for":                      {time.Second, 0, []int{41, 42}, 40},
		"a delete before the page moves it":                        {time.Second, 0, []int{0, 3, 7}, 40},
		"a delete far before the page moves it":                    {time.Second, 0, []int{0, 3, 118}, 120},
		"a delete of an old lead moves a page":                     {time.Hour, 0, []int{1, 30}, 90},
		"a delete of an old lead moves a page of old leads":        {time.Hour, 0, []int{118}, 120},
		"a delete in a burst moves a page in it":                   {time.Microsecond, 0, []int{0, 115}, 120},
		"a create and deletes in a burst move a page in it":        {time.Microsecond, 2, []int{0, 115}, 120},
		"the last page is whole although the index lacks its lead": {time.Second, 1, []int{8}, leads - 3},
	} {
		t.Run(name, func(t *testing.T) {
			table, meter := dynamotest.New(t)
			now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			table.Now = func() time.Time { return now }
			meter.Now = table.Now
			var model []lead.ID
			create := func() {
				now = now.Add(test.between)
				made, _, err := table.Create(t.Context(), tenant, lead.Defaults(), lead.IdempotencyKey{})
				if err != nil {
					t.Fatal(err)
				}
				model = slices.Insert(model, 0, made.ID)
			}
			for range leads {
				create()
			}
			late := &lag{shown: map[string]bool{}, queries: 3}
			for _, id := range model {
				late.shown["acme/test/"+string(id)] = true
			}
			for _, rank := range slices.Backward(test.deleted) {
				id := model[rank]
				if err := table.Delete(t.Context(), tenant, id, lead.Precondition{}); err != nil {
					t.Fatal(err)
				}
				model = slices.Delete(model, rank, rank+1)
				late.gone = append(late.gone, map[string]any{
					"pk": map[string]any{"S": "acme/test/" + string(id)}, "sk": map[string]any{"S": "lead"},
					"tenant":     map[string]any{"S": "acme/test"},
					"created_at": map[string]any{"S": id.Time().Format("2006-01-02T15:04:05.000000000Z") + id.Random()},
				})
			}
			for range test.created {
				create()
			}
			meter.Fault = late.intercept

			got, total, err := table.ListAt(t.Context(), tenant, 20, int64(test.offset))
			if err != nil {
				t.Fatal(err)
			}
			want := model[test.offset:min(test.offset+20, len(model))]
			if ids := idsOf(got); total != int64(len(model)) || !slices.Equal(ids, want) {
				t.Errorf("total %d of %d\n%v, want\n%v", total, len(model), ids, want)
			}
		})
	}
}
