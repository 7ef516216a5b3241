package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
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
		ScanIndexForward          bool
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
	var bounds []string // of the sort key; the third value is the partition key
	for _, value := range query.ExpressionAttributeValues {
		if value.S != "acme/test" {
			bounds = append(bounds, value.S)
		}
	}
	slices.Sort(bounds)
	for _, it := range l.gone {
		if created(it) >= bounds[0] && created(it) <= bounds[1] {
			answer.Items = append(answer.Items, it)
		}
	}
	slices.SortFunc(answer.Items, func(a, b map[string]any) int {
		order := strings.Compare(created(a), created(b))
		if !query.ScanIndexForward {
			order = -order
		}
		return order
	})
	if query.Limit > 0 && len(answer.Items) > query.Limit {
		answer.Items = answer.Items[:query.Limit]
		answer.LastEvaluatedKey = answer.Items[query.Limit-1]
	}
	for i, it := range answer.Items {
		answer.Items[i] = map[string]any{"created_at": it["created_at"]}
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

// TestFirstPageHasNewLeadsWhileTheIndexLags creates leads 1 ms apart, and two more
// of which the index knows nothing, however often it is asked.
func TestFirstPageHasNewLeadsWhileTheIndexLags(t *testing.T) {
	table, meter := dynamotest.New(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	table.Now = func() time.Time { return now }
	meter.Now = table.Now
	var m model
	create := func() {
		now = now.Add(time.Millisecond)
		l, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		m.add(l)
	}
	for range 60 {
		create()
	}
	late := &lag{shown: map[string]bool{}, queries: 1000}
	for _, l := range m.leads {
		late.shown["acme/test/"+string(l.ID)] = true
	}
	create()
	create()
	meter.Fault = late.intercept
	for _, q := range []lead.ListQuery{{Limit: 20}, {Limit: 20, Offset: 1}, {Limit: 20, StartingAfter: m.leads[0].ID}, {Limit: 100}} {
		got, err := table.List(t.Context(), acme, q)
		if err != nil {
			t.Fatal(err)
		}
		if d := differ(got, m.page(q)); d != "" {
			t.Errorf("%s: %s", describe(q), d)
		}
	}
}

// TestListsDoNotFailUnderSteadyCreates lists while others create, with an index
// that shows each lead a while later.
func TestListsDoNotFailUnderSteadyCreates(t *testing.T) {
	client, meter := dynamotest.Start(t)
	table := dynamo.New(client, dynamotest.TableName)
	const lagTime = 150 * time.Millisecond
	meter.Fault = func(operation string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		return lateIndex(r, next, time.Now().Add(-lagTime))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var created sync.Map // of lead.ID, the time it was acknowledged
	var writing sync.WaitGroup
	for range 3 {
		writing.Go(func() {
			for ctx.Err() == nil {
				if l, _, err := table.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{}); err == nil {
					created.Store(l.ID, nil)
				}
			}
		})
	}
	for range 30 {
		before := contents(&created)
		page, err := table.List(t.Context(), acme, lead.ListQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		shown := map[lead.ID]bool{}
		for _, l := range page.Leads {
			shown[l.ID] = true
		}
		missing := 0
		for id := range before {
			if len(page.Leads) > 0 && id >= page.Leads[len(page.Leads)-1].ID && !shown[id] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("the page lacks %d leads that were acknowledged before", missing)
		}
	}
	stop()
	writing.Wait()
}

// lateIndex answers a query of the index without the leads that were created
// after a time.
func lateIndex(r *http.Request, next http.RoundTripper, latest time.Time) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(body, []byte(`"IndexName"`)) {
		upper := regexp.MustCompile(`\{"S":"\|~"\}`) // the end of the index
		body = upper.ReplaceAll(body, []byte(`{"S":"`+latest.UTC().Format("2006-01-02T15:04:05.000000000Z")+`"}`))
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return next.RoundTrip(r)
}
