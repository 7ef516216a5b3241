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

// List implements [lead.Store]. It reads the counters and the index at the same
// time, and then the leads, strongly consistent. The rows of a filter are
// consistent with the leads. The index of all leads may lag, see indexReader.
func (t *Table) List(ctx context.Context, tenant lead.Tenant, q lead.ListQuery) (lead.Page, error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	l := &listing{t: t, tenant: tenant, q: q, all: indexPart{after: boundOf(q.From), before: cmp.Or(boundOf(q.To), endOfIndex)}}
	var page lead.Page
	var err error
	switch {
	case q.Filter == nil:
		page, err = l.listCounted(ctx)
	case !t.hasFilter(q.Filter.Field):
		return page, lead.ErrFilterOff
	default:
		l.key, _ = lead.FilterKey(q.Filter.Field, q.Filter.Value)
		l.series = counter.SeriesOf(lead.Fields[q.Filter.Field].Name, l.key)
		if isCounted(q.Filter.Field) {
			page, err = l.listCounted(ctx)
			break
		}
		rows := l.readRows(ctx, l.all, 0)
		if rows.err != nil {
			return page, rows.err
		}
		page, err = l.pageOf(ctx, rows.ids)
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

// pageOf returns a page of a list of which these are all rows.
func (l *listing) pageOf(ctx context.Context, ids []lead.ID) (page lead.Page, err error) {
	page.Total = int64(len(ids))
	s := l.directStart()
	ids = slices.DeleteFunc(ids, func(id lead.ID) bool { return createdAt(id) >= s.before || s.ascending && createdAt(id) <= s.after })
	if s.ascending {
		slices.Reverse(ids)
	}
	ids = ids[min(l.q.Offset, int64(len(ids))):]
	for len(ids) > 0 && len(page.Leads) < l.q.Limit {
		some := ids[:min(len(ids), l.q.Limit-len(page.Leads))]
		found, err := l.fetch(ctx, some)
		if err != nil {
			return page, err
		}
		page.Leads, ids = append(page.Leads, found...), ids[len(some):]
	}
	page.HasMore = len(ids) > 0
	if s.ascending {
		slices.Reverse(page.Leads)
	}
	return page, nil
}

// errIndexLag means that the index shows other leads than the counters.
var errIndexLag = errors.New("the index lags behind the counters")

// listCounted lists all leads, or by a filter whose leads are counted. If leads
// are deleted meanwhile, the page can be shorter than the number of leads says, or
// the index can differ from the counters. Then listCounted waits and lists again.
// In the end it returns what there is.
func (l *listing) listCounted(ctx context.Context) (page lead.Page, err error) {
	for {
		page, err = l.listOnce(ctx)
		isWhole := l.isCursor() || int64(len(page.Leads)) >= min(int64(l.q.Limit), page.Total-l.q.Offset)
		if l.isLast || err == nil && isWhole || err != nil && err != errIndexLag {
			return page, err
		}
		l.isLast = !l.wait(ctx)
	}
}

func (l *listing) listOnce(ctx context.Context) (page lead.Page, err error) {
	s := l.directStart()
	rows := max(s.skip+l.q.Limit+spareRows, smallFilter)
	if l.series == counter.All {
		rows = s.skip + l.q.Limit + spareRows
	}
	isEarly := l.isCursor() || l.q.Offset <= l.t.near
	reading := make(chan indexRows, 1)
	if isEarly {
		go func() { reading <- l.readRows(ctx, s.indexPart, rows) }() // while the counters are read
	}
	var first *indexRows // those that are read early
	wait := func() {
		if isEarly && first == nil {
			rows := <-reading
			first = &rows
		}
	}
	var all indexRows // of a small filter
	view, err := l.t.counters.Read(ctx, tenantName(l.tenant), l.series, func() (isSmall bool, err error) {
		if wait(); first != nil && s.indexPart == l.all {
			all = *first
		} else {
			all = l.readRows(ctx, l.all, smallFilter)
		}
		return !all.more, all.err
	})
	switch {
	case err != nil:
		return page, toStoreError(err)
	case view == nil:
		return l.pageOf(ctx, all.ids)
	}
	if wait(); first != nil && first.err != nil {
		return page, first.err
	}
	r := &indexReader{listing: l, view: view, spans: view.Spans(), first: first}
	things := view.Everything()
	if l.all.after != "" || l.all.before != endOfIndex {
		if things, err = view.Between(ctx, l.all.after, l.all.before, r.countPart(ctx)); err != nil {
			return page, toStoreError(err)
		}
	}
	page.Total = things.Total()
	isNear := l.isCursor() || l.q.Offset == 0 || l.q.Offset <= l.t.near && !r.mayBeStale()
	switch {
	case !isNear && l.q.Offset >= page.Total:
		return page, nil
	case !isNear:
		r.first = nil
		if s, err = r.findStart(ctx, things); err != nil {
			return page, err
		}
	}
	page.Leads, page.HasMore, err = r.readPage(ctx, s, l.q.Limit)
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

func (l *listing) readRows(ctx context.Context, part indexPart, limit int) (rows indexRows) {
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

// indexReader reads rows of an index for a page. The index of all leads may lag:
// it may lack the newest leads, and show some that are deleted. The reader knows
// from the counters how many leads there are in each bucket of the last half
// hour, and which ones were created last. It adds the latter, and if there are
// still too few, it waits for the index, and in the end uses what there is.
// Deleted leads of the page are noticed when the leads are fetched. So that none
// is skipped before the page, an offset is then found by the counters.
type indexReader struct {
	*listing
	view  *counter.View
	spans map[string]int64 // leads by bucket, as far as the view has them
	first *indexRows       // those that were read at the same time as the counters
}

// mayBeStale reports whether the index may show leads that are deleted.
func (r *indexReader) mayBeStale() bool { return r.series == counter.All && r.view.LeftRecently() }

// findStart returns where the page of an offset starts.
func (r *indexReader) findStart(ctx context.Context, things counter.Range) (pageStart, error) {
	s := pageStart{indexPart: r.all}
	p, err := things.Find(ctx, r.q.Offset)
	if err != nil {
		return s, toStoreError(err)
	}
	s.before, s.skip, s.place = min(s.before, p.To), int(p.Offset), p
	older := p.Count - p.Offset
	isSettled := r.series != counter.All || p.From < counter.Timestamp(r.t.clock.Now().Add(-2*recentTime)) && !r.mayBeStale()
	if older <= 0 || older > p.Offset-nearOffset || !isSettled {
		return s, nil
	}
	// The older end of the piece is nearer.
	ids, _, err := r.t.readIndex(ctx, r.tenant, r.series, indexPart{p.From, p.To, true}, int(older))
	if err == nil && len(ids) == int(older) {
		s.before, s.skip = createdAt(ids[older-1])+"~", 0
	}
	return s, err
}

// readPage returns the leads of a page, and whether there are more after it.
func (r *indexReader) readPage(ctx context.Context, s pageStart, limit int) (leads []lead.Lead, more bool, err error) {
	for {
		ids, more, err := r.rowsFrom(ctx, s, limit-len(leads))
		if err != nil {
			return nil, false, err
		}
		page := ids[:min(len(ids), limit-len(leads))]
		found, err := r.fetch(ctx, page)
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

// rowsFrom returns the ids of the leads from the start on: at least limit, unless
// there are not as many. It also reports whether there may be more.
func (r *indexReader) rowsFrom(ctx context.Context, s pageStart, limit int) (ids []lead.ID, more bool, err error) {
	rows := s.skip + limit + spareRows
	mustCompare := s.skip > 0 && s.place.Count <= maxBucketRows && r.mayBeStale()
	if mustCompare {
		rows = max(rows, int(s.place.Count)+spareRows)
	}
	for {
		if r.first != nil {
			ids, more, r.first = r.first.ids, r.first.more, nil
		} else if ids, more, err = r.t.readIndex(ctx, r.tenant, r.series, s.indexPart, rows); err != nil {
			return nil, false, err
		}
		lags := false
		if r.series == counter.All {
			if ids, lags, err = r.addRecent(ctx, ids, more, s); err != nil {
				return nil, false, err
			}
		}
		switch {
		case lags && r.wait(ctx):
		case mustCompare && !r.isLast && countBetween(ids, s.place.From, s.place.To) != s.place.Count:
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
// them, and reports whether the index still lacks others. On the
// first page, a lead that it adds may have been deleted since.
func (r *indexReader) addRecent(ctx context.Context, ids []lead.ID, more bool, s pageStart) (all []lead.ID, lags bool, err error) {
	part := s.indexPart // that the rows show completely
	if more && s.ascending {
		part.before = createdAt(ids[len(ids)-1]) + "~"
	} else if more {
		part.after = createdAt(ids[len(ids)-1])
	}
	// isShort reports whether a bucket in the part has fewer rows than leads.
	isShort := func(inBucket map[string]int64, bucket string) bool { return inBucket[bucket] < r.spans[bucket] }
	isWhole := func(bucket string) bool { return bucket > part.after && bucket+"~" <= part.before }

	inBucket := countBuckets(ids)
	var missing []lead.ID
	isOldest := map[lead.ID]bool{} // before these the same shard created others
	for _, shard := range r.view.RecentKeys() {
		for i, key := range shard.Keys {
			id := lead.IDOfBytes(key)
			at := createdAt(id)
			isNew := id.Time().After(r.t.clock.Now().Add(-recentTime)) && !slices.Contains(ids, id) && !slices.Contains(missing, id)
			if bucket := counter.Bucket(at); isNew && part.after < at && at < part.before && (!isWhole(bucket) || isShort(inBucket, bucket)) {
				missing = append(missing, id)
				isOldest[id] = i == 0 && !shard.Complete
			}
		}
	}
	hasOldest := func(ids []lead.ID) bool {
		return slices.ContainsFunc(ids, func(id lead.ID) bool { return isOldest[id] })
	}
	if len(missing) > 0 && (s.skip > 0 || r.isCursor() || hasOldest(missing)) {
		found, err := r.t.fetchLeads(ctx, r.tenant, missing)
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
	for bucket := range r.spans {
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
func (r *indexReader) countPart(ctx context.Context) func(piece counter.Place, from, to string) (int64, error) {
	return func(piece counter.Place, from, to string) (int64, error) {
		if r.series != counter.All {
			ids, _, err := r.t.readIndex(ctx, r.tenant, r.series, indexPart{after: from, before: to}, 0)
			return int64(len(ids)), err
		}
		for { // the whole piece is read, to compare it with its count
			ids, _, err := r.t.readIndex(ctx, r.tenant, r.series, indexPart{after: piece.From, before: piece.To}, 0)
			if err != nil {
				return 0, err
			}
			n := int64(len(ids))
			if isRight := n == piece.Count || n > piece.Count && !r.mayBeStale(); isRight || !r.wait(ctx) {
				return countBetween(ids, from, to), nil
			}
		}
	}
}
