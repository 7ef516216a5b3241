package dynamo_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
)

// audited is a tenant with leads of three days: a hundred leads ten minutes
// apart, every third of which is gone, and fifty in one second, an hour ago.
type audited struct {
	*dynamo.Table
	meter *dynamotest.Meter
	now   time.Time
	model []lead.ID // newest first
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	a := &audited{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	a.Table, a.meter = dynamotest.New(t)
	a.Now = func() time.Time { return a.now }
	a.meter.Now = a.Now
	a.SetNear(3)
	a.SetSleep(func(context.Context, time.Duration) error { return nil })
	create := func() {
		made, _, err := a.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		a.model = slices.Insert(a.model, 0, made.ID)
	}
	for i := range 100 {
		create()
		a.now = a.now.Add(10 * time.Minute)
		if i%3 == 2 {
			a.delete(t, 2)
		}
		if i == 60 { // the caches begin here
			a.isExact(t)
		}
	}
	for range 50 {
		create()
	}
	a.now = a.now.Add(time.Hour)
	return a
}

func (a *audited) delete(t *testing.T, rank int) {
	t.Helper()
	if err := a.Delete(t.Context(), acme, a.model[rank], lead.Precondition{}); err != nil {
		t.Fatal(err)
	}
	a.model = slices.Delete(a.model, rank, rank+1)
}

// isExact reports whether lists are as the model has them.
func (a *audited) isExact(t *testing.T) bool {
	t.Helper()
	for offset := 0; offset <= len(a.model); offset += 13 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a wrong counter can look like a late index
		leads, total, err := a.ListAt(ctx, acme, 20, int64(offset))
		cancel()
		want := a.model[offset:min(offset+20, len(a.model))]
		if err != nil || total != int64(len(a.model)) || !slices.Equal(idsOf(leads), want) {
			return false
		}
	}
	page, err := a.List(t.Context(), acme, lead.ListQuery{Filter: &lead.Filter{Field: statusField, Value: "Lead"}, Limit: 100})
	if err != nil || page.Total != int64(len(a.model)) || !slices.Equal(idsOf(page.Leads), a.model[:min(100, len(a.model))]) {
		return false
	}
	return true
}

func noSleep(context.Context, time.Duration) error { return nil }

// never is for Lose, to keep nothing.
func never() bool { return false }

func (a *audited) audit(t *testing.T, repair bool) (found []string) {
	t.Helper()
	counted, err := a.Audit(t.Context(), dynamo.Audit{
		Tenant:   acme,
		Repair:   repair,
		Found:    func(d dynamo.Difference) { found = append(found, d.Of) },
		Progress: func(int64, int64) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if counted != int64(len(a.model)) {
		t.Errorf("the audit counted %d leads, want %d", counted, len(a.model))
	}
	return found
}

func TestAuditRepairs(t *testing.T) {
	const (
		all    = "leads created in the ten seconds from 2026-03-"
		status = "leads with status=Lead created in the ten minutes from 2026-03-"
		gone   = "leads created on 2026-03-0"
	)
	counters := func(sortKey, count string, n int64) func(*audited, context.Context) error {
		return func(a *audited, ctx context.Context) error { return a.Tamper(ctx, acme, sortKey, count, n) }
	}
	lose := func(kind, sortKey string) func(*audited, context.Context) error {
		return func(a *audited, ctx context.Context) error { return a.Lose(ctx, acme, kind, sortKey, never) }
	}
	lead := string(dynamo.SeriesOf("status", "Lead"))
	for name, test := range map[string]struct {
		harm func(*audited, context.Context) error
		want []string
	}{
		"nothing where nothing is wrong": {
			func(*audited, context.Context) error { return nil },
			nil,
		},
		"a count of created leads": {
			counters("2026-03-02T04:4/0.1.0", "c00", 7),
			[]string{all + "02T04:40:00", gone + "2 and gone since"},
		},
		"a count of created leads of a status": {
			counters("2026-03-02T04:4/0.1.0", "c"+lead, 7),
			[]string{status + "02T04:40", "leads with status=Lead created on 2026-03-02 and gone since"},
		},
		"a count of created leads that the caches have otherwise": {
			counters("2026-03-01T13:2/0.1.0", "c00", -1),
			[]string{"leads in the total", "leads created on 2026-03-01, in the snapshot", all + "01T13:20:00", gone + "1 and gone since"},
		},
		"a count of leads that are gone": {
			counters("2026-03-01T13:2/x0", "x00", 1),
			[]string{all + "01T13:20:00"},
		},
		"a count of deletes": {
			counters("2026-03-02T04:4/0.1.0", "d260301", 3),
			[]string{gone + "1 and gone since"},
		},
		"a count of leads that changed their status": {
			counters("2026-03-02T04:4/0.1.0", "d"+lead+"260301", 3),
			[]string{"leads with status=Lead created on 2026-03-01 and gone since"},
		},
		"a counter item that is lost": {
			lose("counters", "2026-03-02T04:4"),
			[]string{all + "02T04:40:00", status + "02T04:40"},
		},
		"totals and snapshots": {
			func(a *audited, ctx context.Context) error { return a.TamperCaches(ctx, acme) },
			[]string{"leads in the total", "leads created on 2026-03-01, in the snapshot", "leads with status=Lead created on 2026-03-01, in the snapshot"},
		},
		"index rows that are lost": {
			lose("by/"+lead, "2026-03-02T04:"),
			[]string{"index rows of leads with status=Lead"},
		},
		"an index row without a lead": {
			func(a *audited, ctx context.Context) error {
				return a.AddRow(ctx, acme, dynamo.SeriesOf("status", "Lead"), a.now.Add(-5*time.Minute))
			},
			[]string{"index rows of leads with status=Lead"},
		},
		"a tenant whose counters are all lost": {
			func(a *audited, ctx context.Context) error {
				if err := a.LoseCaches(ctx, acme, never); err != nil {
					return err
				}
				return a.Lose(ctx, acme, "counters", "2026", never)
			},
			[]string{all + "02T04:40:00", status + "02T04:40"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAudited(t)
			if !a.isExact(t) {
				t.Fatal("lists are wrong to begin with")
			}
			if err := test.harm(a, t.Context()); err != nil {
				t.Fatal(err)
			}
			found := a.audit(t, false)
			if len(found) > 0 && len(test.want) == 0 {
				t.Errorf("the audit found\n%s", strings.Join(found, "\n"))
			}
			for _, want := range test.want {
				if !slices.ContainsFunc(found, func(of string) bool { return strings.HasPrefix(of, want) }) {
					t.Errorf("the audit did not find %q but\n%s", want, strings.Join(found, "\n"))
				}
			}
			if again := a.audit(t, true); !slices.Equal(found, again) {
				t.Errorf("a second audit found\n%s\nthe first\n%s", strings.Join(again, "\n"), strings.Join(found, "\n"))
			}
			if found := a.audit(t, false); len(found) > 0 {
				t.Errorf("after the repair an audit found\n%s", strings.Join(found, "\n"))
			}
			if !a.isExact(t) {
				t.Error("after the repair lists are wrong")
			}
			a.now = a.now.Add(24 * time.Hour) // so that the repair becomes part of the caches
			a.delete(t, 5)
			if !a.isExact(t) {
				t.Error("a day after the repair lists are wrong")
			}
		})
	}
}

func TestAuditTakesNoLagForADifference(t *testing.T) {
	a := newAudited(t)
	late := true
	a.meter.Fault = func(operation string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		ask, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(strings.NewReader(string(ask)))
		resp, err := send.RoundTrip(r)
		if late && strings.Contains(string(ask), "IndexName") {
			resp.Body.Close()
			resp.Body = io.NopCloser(strings.NewReader(`{"Items":[]}`))
			resp.ContentLength = -1
		}
		return resp, err
	}
	a.SetSleep(func(context.Context, time.Duration) error { late = false; return nil })
	_, err := a.Audit(t.Context(), dynamo.Audit{
		Tenant: acme, Repair: true,
		Found:    func(d dynamo.Difference) { t.Errorf("found %+v", d) },
		Progress: func(int64, int64) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if late {
		t.Error("the audit did not look again")
	}
	if !a.isExact(t) {
		t.Error("lists are wrong")
	}
}

// TestAuditRepairsWhileOthersWrite has leads created and deleted all the while.
func TestAuditRepairsWhileOthersWrite(t *testing.T) {
	a := newAudited(t)
	a.SetSleep(func(context.Context, time.Duration) error { time.Sleep(100 * time.Millisecond); return nil })
	if err := a.Tamper(t.Context(), acme, "2026-03-02T04:4/0.1.0", "c00", 7); err != nil {
		t.Fatal(err)
	}
	if err := a.Lose(t.Context(), acme, "counters", "2026-03-02T03:", never); err != nil {
		t.Fatal(err)
	}
	if err := a.TamperCaches(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	done := make(chan struct{})
	doomed := slices.Clone(a.model[70:100]) // deleted while the audit is under way
	a.model = slices.Delete(a.model, 70, 100)
	var made []lead.ID
	writing.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			l, _, err := a.Create(t.Context(), acme, lead.Defaults(), lead.IdempotencyKey{})
			if err != nil {
				t.Error(err)
				return
			}
			made = append(made, l.ID)
			if len(doomed) > 0 {
				if err := a.Delete(t.Context(), acme, doomed[0], lead.Precondition{}); err != nil {
					t.Error(err)
					return
				}
				doomed = doomed[1:]
			}
		}
	})
	_, err := a.Audit(t.Context(), dynamo.Audit{Tenant: acme, Repair: true, Found: func(dynamo.Difference) {}, Progress: func(int64, int64) {}})
	if err != nil {
		t.Error(err)
	}
	close(done)
	writing.Wait()
	for _, id := range doomed {
		if err := a.Delete(t.Context(), acme, id, lead.Precondition{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range made {
		a.model = slices.Insert(a.model, 0, id)
	}
	if found := a.audit(t, false); len(found) > 0 {
		t.Errorf("after the repair an audit found\n%s", strings.Join(found, "\n"))
	}
	if !a.isExact(t) {
		t.Error("after the repair lists are wrong")
	}
}
