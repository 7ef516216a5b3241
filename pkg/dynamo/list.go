package dynamo

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"overplane.dev/leads/pkg/counter"
	"overplane.dev/leads/pkg/lead"
)

const (
	// nearOffset is the greatest offset that is reached by reading an index from
	// its start. That costs less than finding the place in the counters.
	nearOffset = 100

	// spareRows is how many index rows are read beyond those of a page. They
	// cost nothing in most cases, and take the place of stale rows.
	spareRows = 10

	// smallFilter is how many rows a filter without a snapshot may have to be
	// counted by its rows: a read unit, or two.
	smallFilter = 50

	// maxBucketRows is how many rows of a bucket are read to compare them with
	// its count.
	maxBucketRows = 2000

	// maxIndexWait is how long a list waits for an index that lags, or for
	// deletes to end, at most half of the time it has left.
	maxIndexWait = 3 * time.Second

	// recentTime is how long after its creation the index may lack a lead that
	// the counters name.
	recentTime = 10 * time.Second
)

// List implements [lead.Store]. It reads the counters and the index, mostly at the
// same time, and then the leads, strongly consistent. The rows of a filter are
// consistent with the leads. The index of all leads may lag, see readRows.
//
// If leads are deleted meanwhile, the page can be shorter than the number of leads
// says, or the index can differ from the counters. Then List waits and lists
// again. In the end it returns what there is.
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
		page, err = l.listOnce(ctx)
		isWhole := l.isCursor() || int64(len(page.Leads)) >= min(int64(q.Limit), page.Total-q.Offset)
		if l.isLast || err == nil && isWhole || err != nil && err != errIndexLag {
			break
		}
		l.isLast = !l.wait(ctx)
	}
	if err != nil {
		return lead.Page{}, err
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

	view  *counter.View // nil for a filter whose rows are all read
	first *indexRows    // of the page, that were read at the same time as the counters

	waited time.Duration // for the index
	isLast bool          // there is no time to list again
}

func (l *listing) isCursor() bool { return l.q.StartingAfter != "" || l.q.EndingBefore != "" }

// pageStart is where in an index a page starts.
type pageStart struct {
	indexPart
	skip  int           // leads before the page
	place counter.Place // by which the leads to skip were found, if it was
}

// directStart returns where the page starts without help of the counters: at the
// cursor, or at an offset from the newest lead.
func (l *listing) directStart() pageStart {
	s := pageStart{indexPart: l.all}
	switch {
	case l.q.StartingAfter != "":
		s.before = min(s.before, createdAt(l.q.StartingAfter))
	case l.q.EndingBefore != "":
		s.after, s.ascending = max(s.after, createdAt(l.q.EndingBefore)), true
	default:
		s.skip = int(min(l.q.Offset, nearOffset))
	}
	return s
}

// errIndexLag means that the index shows other leads than the counters.
var errIndexLag = errors.New("the index lags behind the counters")

func (l *listing) listOnce(ctx context.Context) (page lead.Page, err error) {
	s := l.directStart()
	limit := s.skip + l.q.Limit + spareRows
	isCounted := l.q.Filter == nil || isCounted(l.q.Filter.Field)
	if !isCounted {
		limit = 0
	} else if l.series != counter.All {
		limit = max(limit, smallFilter)
	}
	// The first list of a process reads one after the other: to open a second
	// connection to the database takes longer.
	hasListed := l.t.hasListed.Swap(true)
	isEarly := hasListed && (l.isCursor() || l.q.Offset <= l.t.near)
	reading := make(chan indexRows, 1)
	if isEarly {
		go func() { reading <- l.readIndex(ctx, s.indexPart, limit) }() // while the counters are read
	}
	l.first = nil
	readFirst := func() indexRows {
		if l.first == nil {
			var rows indexRows
			if isEarly {
				rows = <-reading
			} else {
				rows = l.readIndex(ctx, s.indexPart, limit)
			}
			l.first = &rows
		}
		return *l.first
	}
	var all indexRows
	readAll := func() (isSmall bool, err error) {
		if all = readFirst(); s.indexPart != l.all {
			all = l.readIndex(ctx, l.all, limit)
		}
		return !all.more, all.err
	}
	if l.view = nil; isCounted {
		l.view, err = l.t.counters.Read(ctx, tenantName(l.tenant), l.series, readAll)
	} else {
		_, err = readAll()
	}
	if err != nil {
		return page, toStoreError(err)
	}
	if isEarly && readFirst().err != nil {
		return page, l.first.err
	}
	if l.view == nil {
		page.Total, s.skip = int64(len(all.ids)), int(min(l.q.Offset, int64(len(all.ids))))
	} else {
		things := l.view.Everything()
		if l.all.after != "" || l.all.before != endOfIndex {
			if things, err = l.view.Between(ctx, l.all.after, l.all.before, l.countPart(ctx)); err != nil {
				return page, toStoreError(err)
			}
		}
		page.Total = things.Total()
		isNear := l.isCursor() || l.q.Offset == 0 || l.q.Offset <= l.t.near && !l.mayBeStale()
		if !isNear {
			if l.q.Offset >= page.Total {
				return page, nil
			}
			l.first = nil
			if s, err = l.findStart(ctx, things); err != nil {
				return page, err
			}
		}
	}
	page.Leads, page.HasMore, err = l.readPage(ctx, s, l.q.Limit)
	if s.ascending {
		slices.Reverse(page.Leads)
	}
	return page, err
}

// indexRows are the rows that a query of an index returned.
type indexRows struct {
	ids  []lead.ID
	more bool
	err  error
}

func (l *listing) readIndex(ctx context.Context, part indexPart, limit int) (rows indexRows) {
	rows.ids, rows.more, rows.err = l.t.readIndex(ctx, l.tenant, l.series, part, limit)
	return rows
}

// fetch reads leads and leaves out those that are gone or that the filter does
// not match any more.
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

// mayBeStale reports whether the index may show leads that are deleted.
func (l *listing) mayBeStale() bool { return l.series == counter.All && l.view.LeftRecently() }

// findStart returns where the page of an offset starts.
func (l *listing) findStart(ctx context.Context, things counter.Range) (pageStart, error) {
	s := pageStart{indexPart: l.all}
	p, err := things.Find(ctx, l.q.Offset)
	if err != nil {
		return s, toStoreError(err)
	}
	s.before, s.skip, s.place = min(s.before, p.To), int(p.Offset), p
	older := p.Count - p.Offset
	isSettled := l.series != counter.All || p.From < counter.Timestamp(l.t.clock.Now().Add(-2*recentTime)) && !l.mayBeStale()
	if older <= 0 || older > p.Offset-nearOffset || !isSettled {
		return s, nil
	}
	// The older end of the piece is nearer.
	ids, _, err := l.t.readIndex(ctx, l.tenant, l.series, indexPart{p.From, p.To, true}, int(older))
	if err == nil && len(ids) == int(older) {
		s.before, s.skip = createdAt(ids[older-1])+"~", 0
	}
	return s, err
}

// readPage returns the leads of a page, and whether there are more after it.
func (l *listing) readPage(ctx context.Context, s pageStart, limit int) (leads []lead.Lead, more bool, err error) {
	for {
		ids, more, err := l.readRows(ctx, s, limit-len(leads))
		if err != nil {
			return nil, false, err
		}
		page := ids[:min(len(ids), limit-len(leads))]
		found, err := l.fetch(ctx, page)
		if err != nil {
			return nil, false, err
		}
		more = more || len(ids) > len(page)
		if leads = append(leads, found...); len(leads) == limit || !more || len(page) == 0 {
			return leads, more, nil
		}
		s.skip, s.place = 0, counter.Place{}
		if last := createdAt(page[len(page)-1]); s.ascending {
			s.after = last
		} else {
			s.before = last
		}
	}
}

// readRows returns the ids of the leads from the start on: at least limit, unless
// there are not as many. It also reports whether there may be more.
//
// The index of all leads may lag: it may lack the newest leads, and show some
// that are deleted. The counters say how many leads there are in each bucket of
// the last half hour, and which ones were created last. readRows adds the latter,
// and if there are still too few, it waits for the index, and in the end uses
// what there is. Deleted leads of the page are noticed when the leads are fetched.
// So that none is skipped before the page, an offset is then found by the
// counters.
func (l *listing) readRows(ctx context.Context, s pageStart, limit int) (ids []lead.ID, more bool, err error) {
	rows := s.skip + limit + spareRows
	mustCompare := s.skip > 0 && s.place.Count <= maxBucketRows && l.mayBeStale()
	if mustCompare {
		rows = max(rows, int(s.place.Count)+spareRows)
	}
	for {
		if l.first != nil {
			ids, more, l.first = l.first.ids, l.first.more, nil
		} else if ids, more, err = l.t.readIndex(ctx, l.tenant, l.series, s.indexPart, rows); err != nil {
			return nil, false, err
		}
		lags := false
		if l.series == counter.All {
			if ids, lags, err = l.addRecent(ctx, ids, more, s); err != nil {
				return nil, false, err
			}
		}
		switch {
		case lags && l.wait(ctx):
		case mustCompare && !l.isLast && countBetween(ids, s.place.From, s.place.To) != s.place.Count:
			return nil, false, errIndexLag
		default:
			return ids[min(s.skip, len(ids)):], more, nil
		}
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

// addRecent adds leads that were created recently to rows of an index that lacks
// them, and reports whether the index still lacks others. On the first page, a
// lead that it adds may have been deleted since.
func (l *listing) addRecent(ctx context.Context, ids []lead.ID, more bool, s pageStart) (all []lead.ID, lags bool, err error) {
	part := s.indexPart // that the rows show completely
	if more && s.ascending {
		part.before = createdAt(ids[len(ids)-1]) + "~"
	} else if more {
		part.after = createdAt(ids[len(ids)-1])
	}
	spans := l.view.Spans()
	// isShort reports whether a bucket in the part has fewer rows than leads.
	isShort := func(inBucket map[string]int64, bucket string) bool { return inBucket[bucket] < spans[bucket] }
	isWhole := func(bucket string) bool { return bucket > part.after && bucket+"~" <= part.before }

	inBucket := countBuckets(ids)
	var missing []lead.ID
	isOldest := map[lead.ID]bool{} // before these the same shard created others
	for _, shard := range l.view.RecentKeys() {
		for i, key := range shard.Keys {
			id := lead.IDOfBytes(key)
			at := createdAt(id)
			isNew := id.Time().After(l.t.clock.Now().Add(-recentTime)) && !slices.Contains(ids, id) && !slices.Contains(missing, id)
			if bucket := counter.Bucket(at); isNew && part.after < at && at < part.before && (!isWhole(bucket) || isShort(inBucket, bucket)) {
				missing = append(missing, id)
				isOldest[id] = i == 0 && !shard.Complete
			}
		}
	}
	hasOldest := func(ids []lead.ID) bool {
		return slices.ContainsFunc(ids, func(id lead.ID) bool { return isOldest[id] })
	}
	if len(missing) > 0 && (s.skip > 0 || l.isCursor() || hasOldest(missing)) {
		found, err := l.t.fetchLeads(ctx, l.tenant, missing)
		if err != nil {
			return nil, false, err
		}
		missing = leadIDs(found)
	}
	all = append(slices.Clone(ids), missing...)
	slices.SortFunc(all, func(a, b lead.ID) int { return strings.Compare(string(b), string(a)) })
	if s.ascending {
		slices.Reverse(all)
	}
	inBucket = countBuckets(all)
	for bucket := range spans {
		lags = lags || isWhole(bucket) && isShort(inBucket, bucket)
	}
	return all, lags || hasOldest(missing), nil
}

func leadIDs(leads []lead.Lead) []lead.ID {
	ids := make([]lead.ID, len(leads))
	for i, l := range leads {
		ids[i] = l.ID
	}
	return ids
}

// countBetween counts the leads from one bound to before another.
func countBetween(ids []lead.ID, from, to string) (n int64) {
	for _, id := range ids {
		if at := createdAt(id); at >= from && at < to {
			n++
		}
	}
	return n
}

func countBuckets(ids []lead.ID) map[string]int64 {
	n := map[string]int64{}
	for _, id := range ids {
		n[counter.Bucket(createdAt(id))]++
	}
	return n
}

// countPart returns a function that counts the leads of a part of a piece of time
// that the counters count as a whole.
func (l *listing) countPart(ctx context.Context) func(piece counter.Place, from, to string) (int64, error) {
	return func(piece counter.Place, from, to string) (int64, error) {
		if l.series != counter.All {
			ids, _, err := l.t.readIndex(ctx, l.tenant, l.series, indexPart{after: from, before: to}, 0)
			return int64(len(ids)), err
		}
		for { // the whole piece is read, to compare it with its count
			ids, _, err := l.t.readIndex(ctx, l.tenant, l.series, indexPart{after: piece.From, before: piece.To}, 0)
			if err != nil {
				return 0, err
			}
			n := int64(len(ids))
			if isRight := n == piece.Count || n > piece.Count && !l.mayBeStale(); isRight || !l.wait(ctx) {
				return countBetween(ids, from, to), nil
			}
		}
	}
}
