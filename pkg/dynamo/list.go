package dynamo

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

const (
	// nearOffset is the greatest offset that is reached by reading an index from
	// its start. That costs less than finding the place in the counters.
	nearOffset = 100

	// spareRows is how many index rows are read beyond those of a page. They
	// cost nothing in most cases, and replace rows of deleted leads.
	spareRows = 10

	// smallFilter is how many rows a filter without a snapshot may have at most
	// to be counted by its rows. That costs one or two read units.
	smallFilter = 50

	// maxIndexWait is how long a list waits for an index that lags, or for
	// deletes to end, at most half of the time it has left.
	maxIndexWait = 3 * time.Second

	// recentTime is how long after its creation the index may lack a lead.
	recentTime = 10 * time.Second
)

// List implements [lead.Store]. It reads the counters and the index, and then the
// leads, strongly consistent. The rows of a filter are consistent with the leads.
// The index of all leads may lag, see addRecent.
//
// If leads are deleted meanwhile, the page can be shorter than the number of leads
// says. Then List waits and lists again. In the end it returns what there is.
func (t *Table) List(ctx context.Context, tenant lead.Tenant, q lead.ListQuery) (page lead.Page, err error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	if err = t.checkTenant(ctx, tenant); err != nil {
		return page, err
	}
	l := &listing{t: t, tenant: tenant, q: q, all: indexPart{after: boundOf(q.From), before: cmp.Or(boundOf(q.To), endOfIndex)}}
	if q.Filter != nil {
		if !t.hasFilter(q.Filter.Field) {
			return page, lead.ErrFilterOff
		}
		l.key, _ = lead.FilterKey(q.Filter.Field, q.Filter.Value)
		l.series = counter.SeriesOf(lead.Fields[q.Filter.Field].Name, l.key)
	}
	for {
		if page, err = l.listOnce(ctx); err != nil {
			return lead.Page{}, toStoreError(err)
		}
		isWhole := l.isCursor() || int64(len(page.Leads)) >= min(int64(q.Limit), page.Total-q.Offset)
		if isWhole || !l.wait(ctx) {
			break
		}
	}
	if len(page.Leads) > 0 { // the counters cannot say less than what was read
		page.Total = max(page.Total, q.Offset+int64(len(page.Leads)))
	}
	if !l.isCursor() {
		page.HasMore = page.Total-q.Offset > int64(len(page.Leads))
	}
	return page, nil
}

// endOfIndex sorts after all sort keys of an index.
const endOfIndex = "}"

// boundOf returns the sort key of an index before all leads that are created from
// this time on, or "" for the zero time.
func boundOf(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Year() > 9999:
		return endOfIndex
	}
	return counter.Bound(t)
}

// listing is one call of List.
type listing struct {
	t      *Table
	tenant lead.Tenant
	q      lead.ListQuery
	all    indexPart // the times of creation

	series counter.Series // of the filter
	key    string         // that the value of a lead must have

	// Either the counters are read, or all rows of a filter.
	view *counter.View
	rows []lead.ID

	waited time.Duration // for the index
}

func (l *listing) isCursor() bool { return l.q.StartingAfter != "" || l.q.EndingBefore != "" }

// isNear reports whether the page is found without the counters.
func (l *listing) isNear() bool { return l.isCursor() || l.q.Offset <= l.t.near || l.q.Offset == 0 }

// isEverything reports whether the list is that of all leads of all times.
func (l *listing) isEverything() bool {
	return l.q.Filter == nil && l.all == indexPart{before: endOfIndex}
}

// pageStart is where in an index a page starts: after so many leads of a part.
type pageStart struct {
	indexPart
	skip int
}

func (l *listing) listOnce(ctx context.Context) (page lead.Page, err error) {
	start := pageStart{l.all, int(min(l.q.Offset, nearOffset))}
	switch {
	case l.q.StartingAfter != "":
		start.before = min(start.before, createdAt(l.q.StartingAfter))
	case l.q.EndingBefore != "":
		start.after, start.ascending = max(start.after, createdAt(l.q.EndingBefore)), true
	}
	var first *indexRows // of the page, read at the same time as the counters
	group, groupCtx := errgroup.WithContext(ctx)
	if !l.t.hasListed.Swap(true) { // to open a second connection to the database takes longer
		group.SetLimit(1)
	}
	group.Go(func() error { return l.readCounters(groupCtx) })
	if l.isNear() && l.q.Filter == nil {
		group.Go(func() (err error) {
			first, err = l.readIndex(groupCtx, start.indexPart, start.skip+l.q.Limit+spareRows)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return page, err
	}
	if l.view == nil {
		page.Total = int64(len(l.rows))
		start.skip = int(min(l.q.Offset, page.Total))
	} else {
		if !l.isEverything() {
			err := l.view.Between(ctx, l.all.after, l.all.before, func(from, to string) (int64, error) {
				rows, err := l.readRows(ctx, pageStart{indexPart: indexPart{after: from, before: to}}, 0, nil)
				return int64(len(rows.ids)), err
			})
			if err != nil {
				return page, err
			}
		}
		page.Total = l.view.Total()
		if !l.isNear() {
			if l.q.Offset >= page.Total {
				return page, nil
			}
			if start, err = l.findStart(ctx); err != nil {
				return page, err
			}
		}
	}
	page.Leads, page.HasMore, err = l.readPage(ctx, start, first)
	if start.ascending {
		slices.Reverse(page.Leads)
	}
	return page, err
}

// readCounters reads the counters, or all rows of a filter if these are few:
// they can be counted without a snapshot.
func (l *listing) readCounters(ctx context.Context) (err error) {
	prefix, counters := tenantName(l.tenant), l.t.counters
	if l.isEverything() && l.isNear() {
		l.view, err = counters.ReadTotal(ctx, prefix)
		return err
	}
	limit := 0
	if l.q.Filter == nil || isCounted(l.q.Filter.Field) {
		l.view, err = counters.Read(ctx, prefix, l.series, l.q.Filter == nil)
		if l.view != nil || err != nil {
			return err
		}
		limit = smallFilter
	}
	rows, err := l.readIndex(ctx, l.all, limit)
	if err != nil {
		return err
	}
	if l.rows = rows.ids; rows.more {
		l.view, err = counters.Read(ctx, prefix, l.series, true)
	}
	return err
}

// indexRows are the rows of a part of an index, and whether it has more.
type indexRows struct {
	ids  []lead.ID
	more bool
}

func (l *listing) readIndex(ctx context.Context, part indexPart, limit int) (*indexRows, error) {
	ids, more, err := l.t.readIndex(ctx, l.tenant, l.series, part, limit)
	return &indexRows{ids, more}, err
}

// findStart returns where the page of an offset starts.
func (l *listing) findStart(ctx context.Context) (pageStart, error) {
	place, err := l.view.Find(ctx, l.q.Offset)
	if err != nil {
		return pageStart{}, err
	}
	start := pageStart{indexPart{after: l.all.after, before: min(l.all.before, place.To)}, int(place.Offset)}
	older := int(place.Count - place.Offset)
	if older <= 0 || older > start.skip-nearOffset {
		return start, nil
	}
	// The older end of the span is nearer.
	span := indexPart{max(l.all.after, place.From), start.before, true}
	rows, err := l.readRows(ctx, pageStart{indexPart: span}, older, nil)
	if err == nil && len(rows.ids) >= older {
		start.before, start.skip = createdAt(rows.ids[older-1])+"~", 0
	}
	return start, err
}

// readPage returns the leads of a page, and whether there are more after it.
func (l *listing) readPage(ctx context.Context, start pageStart, first *indexRows) (leads []lead.Lead, more bool, err error) {
	for {
		need := l.q.Limit - len(leads)
		rows, err := l.readRows(ctx, start, need, first)
		if err != nil {
			return nil, false, err
		}
		page := rows.ids[:min(len(rows.ids), need)]
		found, err := l.fetch(ctx, page)
		if err != nil {
			return nil, false, err
		}
		more = rows.more || len(rows.ids) > len(page)
		if leads = append(leads, found...); len(leads) == l.q.Limit || !more || len(page) == 0 {
			return leads, more, nil
		}
		start.skip, first = 0, nil
		if last := createdAt(page[len(page)-1]); start.ascending {
			start.after = last
		} else {
			start.before = last
		}
	}
}

// fetch reads leads and leaves out those that were deleted or that the filter
// does not match any more.
func (l *listing) fetch(ctx context.Context, ids []lead.ID) ([]lead.Lead, error) {
	found, err := l.t.fetchLeads(ctx, l.tenant, ids)
	if l.q.Filter == nil || err != nil {
		return found, err
	}
	return slices.DeleteFunc(found, func(found lead.Lead) bool {
		key, ok := lead.FilterKey(l.q.Filter.Field, found.Values[l.q.Filter.Field])
		return !ok || key != l.key
	}), nil
}

// readRows returns rows from the start on: at least limit, unless there are not as
// many, or all if limit is 0. While the index of all leads lacks changes that the
// counters do not name, it waits, but not longer than maxIndexWait. The rows may
// have been read already.
func (l *listing) readRows(ctx context.Context, start pageStart, limit int, rows *indexRows) (_ *indexRows, err error) {
	if limit > 0 {
		limit += start.skip + spareRows
	}
	for {
		switch {
		case l.view == nil:
			rows = &indexRows{ids: start.of(l.rows)}
		case rows == nil:
			rows, err = l.readIndex(ctx, start.indexPart, limit)
		}
		isLate := false
		if err == nil && l.series == counter.All {
			isLate, err = l.addRecent(ctx, rows, start)
		}
		if err != nil {
			return nil, err
		}
		if !isLate || !l.wait(ctx) {
			rows.ids = rows.ids[min(start.skip, len(rows.ids)):]
			return rows, nil
		}
		rows = nil
	}
}

// wait waits a moment for the index. It returns false if it has waited long
// enough.
func (l *listing) wait(ctx context.Context) bool {
	most := maxIndexWait
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/2)
	}
	pause := max(20*time.Millisecond, l.waited/2)
	if l.waited+pause > most || sleepContext(ctx, pause) != nil {
		return false
	}
	l.waited += pause
	return true
}

// addRecent corrects rows of the index of all leads, which may lag: it may lack
// the newest leads, and show some that are deleted. The counters name the newest
// changes of each writer. If a writer made other changes shortly before, the
// index shows those as soon as it shows the oldest change that is named.
// addRecent reports whether the index is not that far yet.
//
// Another writer may have deleted a lead since. Then a fetch does not find it:
// that of readPage, or one here if the lead must not be counted.
func (l *listing) addRecent(ctx context.Context, rows *indexRows, start pageStart) (isLate bool, err error) {
	part := start.indexPart // that the rows show completely
	switch last := len(rows.ids) - 1; {
	case !rows.more || last < 0:
	case start.ascending:
		part.before = createdAt(rows.ids[last]) + "~"
	default:
		part.after = createdAt(rows.ids[last])
	}
	var missing []lead.ID
	isDeleted, isOldest := map[lead.ID]bool{}, map[lead.ID]bool{}
	since := l.t.clock.Now().Add(-recentTime)
	for _, recent := range l.view.Recent {
		id := lead.IDOfBytes(recent.Key)
		isShown := slices.Contains(rows.ids, id)
		switch {
		case !part.has(id):
		case !recent.IsCreated:
			isDeleted[id] = true
			isLate = isLate || isShown && recent.IsOldest
		case !isShown && id.Time().After(since):
			if isOldest[id] = isOldest[id] || recent.IsOldest; !slices.Contains(missing, id) {
				missing = append(missing, id)
			}
		}
	}
	missing = slices.DeleteFunc(missing, func(id lead.ID) bool { return isDeleted[id] })
	oldest := func(id lead.ID) bool { return isOldest[id] }
	mustExist := start.skip > 0 || l.isCursor() || !l.isEverything()
	if len(missing) > 0 && (mustExist || slices.ContainsFunc(missing, oldest)) {
		found, err := l.t.fetchLeads(ctx, l.tenant, missing)
		if err != nil {
			return false, err
		}
		missing = nil
		for _, lead := range found {
			missing = append(missing, lead.ID)
		}
	}
	all := slices.Concat(slices.DeleteFunc(rows.ids, func(id lead.ID) bool { return isDeleted[id] }), missing)
	slices.SortFunc(all, func(a, b lead.ID) int { return strings.Compare(string(b), string(a)) })
	if start.ascending {
		slices.Reverse(all)
	}
	rows.ids = all
	return isLate || slices.ContainsFunc(missing, oldest), nil
}
