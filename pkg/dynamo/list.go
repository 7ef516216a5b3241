package dynamo

import (
	"context"
	"maps"
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

	// maxIndexWait is how long a list waits for an index that lags, at most half
	// of the time it has left.
	maxIndexWait = 3 * time.Second

	// recentTime is how long after its creation the index may lack a lead that
	// the counters name.
	recentTime = 10 * time.Second
)

// List implements [lead.Store]. It reads the counters and the index at the same
// time, and then the leads, strongly consistent.
//
// The rows of a filter are consistent with the leads. The index of all leads
// follows the table after a moment; see indexReader for what that takes.
func (t *Table) List(ctx context.Context, tenant lead.Tenant, q lead.ListQuery) (lead.Page, error) {
	ctx, cancel := withRetryDeadline(ctx)
	defer cancel()
	l := &listing{t: t, tenant: tenant, q: q, after: bound(q.From), before: bound(q.To)}
	if q.Filter != nil {
		if !t.hasFilter(q.Filter.Field) {
			return lead.Page{}, lead.ErrFilterOff
		}
		l.key, _ = lead.FilterKey(q.Filter.Field, q.Filter.Value)
		l.series = counter.SeriesOf(lead.Fields[q.Filter.Field].Name, l.key)
	}
	var page lead.Page
	var err error
	if q.Filter != nil && !isCounted(q.Filter.Field) {
		page, err = l.listUncounted(ctx)
	} else {
		page, err = l.listCounted(ctx)
	}
	if err != nil {
		return lead.Page{}, err
	}
	// The counters cannot say less than what was read.
	page.Total = max(page.Total, int64(len(page.Leads)))
	if len(page.Leads) > 0 {
		page.Total = max(page.Total, q.Offset+int64(len(page.Leads)))
	}
	if q.StartingAfter == "" && q.EndingBefore == "" {
		page.HasMore = page.Total-q.Offset > int64(len(page.Leads))
	}
	return page, nil
}

// bound returns the sort key of an index before all leads that are created from
// this time on, or "" for the zero time.
func bound(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Year() > 9999:
		return endOfIndex
	}
	return counter.Bound(t)
}

// endOfIndex sorts after all sort keys of an index.
const endOfIndex = "}"

// listing is one call of List.
type listing struct {
	t      *Table
	tenant lead.Tenant
	q      lead.ListQuery

	series        counter.Series // of the filter
	key           string         // that the value of a lead must have
	after, before string         // bounds of the time of creation, "" is none
}

// start is where in an index a page starts.
type start struct {
	after, before string // the part of the index
	ascending     bool   // from its oldest lead on
	skip          int    // leads before the page
	count         counter.Place
}

// firstStart returns where the page starts without the counters: at the cursor
// or at the newest lead.
func (l *listing) firstStart() start {
	s := start{after: l.after, before: l.before}
	if s.before == "" {
		s.before = endOfIndex
	}
	switch {
	case l.q.StartingAfter != "":
		s.before = min(s.before, createdAt(l.q.StartingAfter))
	case l.q.EndingBefore != "":
		s.after, s.ascending = max(s.after, createdAt(l.q.EndingBefore)), true
	default:
		s.skip = int(min(l.q.Offset, l.t.near))
	}
	return s
}

func (l *listing) isCursor() bool { return l.q.StartingAfter != "" || l.q.EndingBefore != "" }

// listUncounted lists by a filter whose leads are not counted. It reads all rows.
func (l *listing) listUncounted(ctx context.Context) (page lead.Page, err error) {
	all := start{after: l.after, before: l.firstEnd()}
	ids, _, err := l.t.readIndex(ctx, l.tenant, l.series, all, 0)
	if err != nil {
		return page, err
	}
	page.Total = int64(len(ids))
	first := l.firstStart()
	in := slices.DeleteFunc(slices.Clone(ids), func(id lead.ID) bool {
		return createdAt(id) <= first.after && first.ascending || createdAt(id) >= first.before
	})
	if first.ascending {
		slices.Reverse(in)
	}
	in = in[min(l.q.Offset, int64(len(in))):]
	for len(in) > 0 && len(page.Leads) < l.q.Limit {
		some := in[:min(len(in), l.q.Limit-len(page.Leads))]
		found, err := l.fetch(ctx, some)
		if err != nil {
			return page, err
		}
		page.Leads, in = append(page.Leads, found...), in[len(some):]
	}
	page.HasMore = len(in) > 0
	if first.ascending {
		slices.Reverse(page.Leads)
	}
	return page, nil
}

func (l *listing) firstEnd() string {
	if l.before == "" {
		return endOfIndex
	}
	return l.before
}

// listCounted lists all leads, or by a filter whose leads are counted.
func (l *listing) listCounted(ctx context.Context) (page lead.Page, err error) {
	prefix := tenantName(l.tenant)
	first := l.firstStart()
	isNear := l.isCursor() || l.q.Offset <= l.t.near

	// The index is read while the counters are.
	type indexAnswer struct {
		ids  []lead.ID
		more bool
		err  error
	}
	rows := make(chan indexAnswer, 1)
	reading := isNear && (l.series != counter.All || !l.t.wasEmpty(l.tenant))
	if reading {
		go func() {
			ids, more, err := l.t.readIndex(ctx, l.tenant, l.series, first, first.skip+l.q.Limit+spareRows)
			rows <- indexAnswer{ids, more, err}
		}()
	}
	view, err := l.t.counters.Read(ctx, prefix, l.series)
	if err != nil {
		return page, toStoreError(err)
	}
	reader := &indexReader{listing: l, view: view, spans: view.Spans()}
	if reading {
		answer := <-rows
		if answer.err != nil {
			return page, answer.err
		}
		reader.ids, reader.more, reader.read = answer.ids, answer.more, true
		l.noteEmpty(view.Total() == 0 && len(answer.ids) == 0)
	} else if view.Total() > 0 {
		l.noteEmpty(false)
	}
	things := view.Everything()
	if l.after != "" || l.before != "" {
		things, err = view.Between(ctx, l.after, l.before, func(piece counter.Place, from, to string) (int64, error) {
			return reader.countPart(ctx, piece, from, to)
		})
		if err != nil {
			return page, toStoreError(err)
		}
	}
	page.Total = things.Total()
	switch {
	case !isNear && l.q.Offset >= page.Total, !reading && page.Total == 0:
		return page, nil
	case !isNear:
		if first, err = l.find(ctx, view, things); err != nil {
			return page, err
		}
	}
	page.Leads, page.HasMore, err = reader.readPage(ctx, first, l.q.Limit)
	if first.ascending {
		slices.Reverse(page.Leads)
	}
	return page, err
}

// noteEmpty remembers whether the tenant has no leads, so that the next list
// need not read the index at once.
func (l *listing) noteEmpty(isEmpty bool) {
	switch {
	case !isEmpty:
		l.t.empty.Delete(l.tenant)
	case l.series == counter.All && l.after == "" && l.before == "" && !l.isCursor():
		l.t.empty.Store(l.tenant, true)
	}
}

func (t *Table) wasEmpty(tenant lead.Tenant) bool {
	_, ok := t.empty.Load(tenant)
	return ok
}

// find returns where the page of an offset starts.
func (l *listing) find(ctx context.Context, view *counter.View, things counter.Range) (start, error) {
	s := start{after: l.after, before: l.firstEnd()}
	p, ok, err := things.Find(ctx, l.q.Offset)
	if err != nil {
		return s, toStoreError(err)
	}
	if !ok {
		s.skip = int(l.q.Offset)
		return s, nil
	}
	s.before, s.skip, s.count = p.To, int(p.Offset), p
	older := p.Count - p.Offset
	isSettled := l.series != counter.All ||
		p.From < counter.Timestamp(l.t.clock.Now().Add(-2*recentTime)) && !view.LeftOfLate(counter.Day(p.From))
	if older <= 0 || older > p.Offset-nearOffset || !isSettled {
		return s, nil
	}
	// The older end of the span is nearer.
	ids, _, err := l.t.readIndex(ctx, l.tenant, l.series, start{after: p.From, before: p.To, ascending: true}, int(older))
	if err == nil && len(ids) == int(older) {
		s.before, s.skip, s.count = createdAt(ids[older-1])+"~", 0, counter.Place{}
	}
	return s, err
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
// hour, and which ones were created last. Where the index shows fewer, it waits for
// the index, and in the end uses what there is. Deleted leads of the page are
// noticed when the leads are fetched. Those that are skipped before the page are
// looked up where something was deleted of late.
type indexReader struct {
	*listing
	view  *counter.View
	spans map[string]int64 // leads by bucket, as far as the view has them

	// The rows that were read at the same time as the counters.
	read bool
	ids  []lead.ID
	more bool

	waited time.Duration
}

// readPage returns the leads of a page, and whether there are more after it.
func (r *indexReader) readPage(ctx context.Context, s start, limit int) (leads []lead.Lead, more bool, err error) {
	for {
		missing := limit - len(leads)
		ids, more, err := r.readRows(ctx, s, missing)
		if err != nil {
			return nil, false, err
		}
		page := ids[:min(len(ids), missing)]
		rest := ids[len(page):]
		found, err := r.fetch(ctx, page)
		if err != nil {
			return nil, false, err
		}
		leads = append(leads, found...)
		switch {
		case len(leads) == limit && (len(rest) > 0 || more) && r.isCursor():
			more, err = r.hasMore(ctx, rest, more)
			return leads, more, err
		case len(leads) == limit, len(rest) == 0 && !more:
			return leads, len(rest) > 0 || more, nil
		}
		if last := createdAt(ids[min(len(ids), missing)-1]); s.ascending {
			s = start{after: last, before: s.before, ascending: true}
		} else {
			s = start{after: s.after, before: last}
		}
	}
}

// hasMore reports whether there are leads after a page, of which these rows were
// read. Stale rows do not count.
func (r *indexReader) hasMore(ctx context.Context, rest []lead.ID, more bool) (bool, error) {
	if r.series != counter.All || len(rest) == 0 {
		return true, nil
	}
	for _, id := range rest {
		if !r.view.LeftOfLate(counter.Day(createdAt(id))) {
			return true, nil
		}
	}
	found, err := r.fetch(ctx, rest)
	return len(found) > 0 || more, err
}

// readRows returns the ids of the leads from the start on: at least limit, unless
// there are not as many. It also reports whether there may be more.
func (r *indexReader) readRows(ctx context.Context, s start, limit int) (ids []lead.ID, more bool, err error) {
	rows := s.skip + limit + spareRows
	if r.series == counter.All && s.skip > 0 {
		rows = max(rows, r.wholeBuckets(s, s.skip+limit))
	}
	for {
		if r.read && rows == s.skip+limit+spareRows {
			ids, more = r.ids, r.more
		} else if ids, more, err = r.t.readIndex(ctx, r.tenant, r.series, s, rows); err != nil {
			return nil, false, err
		}
		r.read = false
		if r.series != counter.All {
			break
		}
		lags, err := r.complete(ctx, &ids, more, s)
		if err != nil {
			return nil, false, err
		}
		if !lags {
			var ok bool
			if ok, err = r.dropStale(ctx, &ids, more, s); err != nil {
				return nil, false, err
			}
			lags = !ok
		}
		if !lags || !r.wait(ctx) {
			break
		}
	}
	return ids[min(s.skip, len(ids)):], more, nil
}

// wait waits a moment for the index. It returns false if it has waited long
// enough.
func (r *indexReader) wait(ctx context.Context) bool {
	most := maxIndexWait
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/2)
	}
	pause := max(20*time.Millisecond, r.waited/2)
	if r.waited+pause > most || sleepContext(ctx, pause) != nil {
		return false
	}
	r.waited += pause
	return true
}

// part returns the part of the index that these rows show completely.
func (s start) part(ids []lead.ID, more bool) (after, before string) {
	after, before = s.after, s.before
	if more && len(ids) > 0 {
		last := createdAt(ids[len(ids)-1])
		if s.ascending {
			before = last + "~"
		} else {
			after = last
		}
	}
	return after, before
}

// complete adds leads that were created of late to rows of an index that lacks
// them, and reports whether the index still lacks others. A lead that it adds may
// have been deleted since, unless leads are skipped.
func (r *indexReader) complete(ctx context.Context, ids *[]lead.ID, more bool, s start) (lags bool, err error) {
	after, before := s.part(*ids, more)
	isWhole := func(bucket string) bool { return bucket > after && bucket+"~" <= before }
	inBucket := countBuckets(*ids)
	shown := map[lead.ID]bool{}
	for _, id := range *ids {
		shown[id] = true
	}
	var missing []lead.ID
	isOldest := map[lead.ID]bool{} // before these the same shard created others
	oldest := r.t.clock.Now().Add(-recentTime)
	for _, shard := range r.view.RecentKeys() {
		for i, key := range shard.Keys {
			id := lead.IDOfBytes(key)
			if shown[id] || id.Time().Before(oldest) {
				continue
			}
			at := createdAt(id)
			bucket := counter.Bucket(at)
			if at <= after || at >= before || isWhole(bucket) && inBucket[bucket] >= r.spans[bucket] {
				continue
			}
			shown[id], isOldest[id] = true, i == 0 && !shard.Complete
			missing = append(missing, id)
		}
	}
	added := missing
	if s.skip > 0 && len(missing) > 0 || slices.ContainsFunc(missing, func(id lead.ID) bool { return isOldest[id] }) {
		found, err := r.t.fetchLeads(ctx, r.tenant, missing)
		if err != nil {
			return false, err
		}
		added = leadIDs(found)
	}
	*ids = append(*ids, added...)
	slices.SortFunc(*ids, func(a, b lead.ID) int {
		if s.ascending {
			return strings.Compare(string(a), string(b))
		}
		return strings.Compare(string(b), string(a))
	})
	inBucket = countBuckets(*ids)
	for bucket, n := range r.spans {
		if isWhole(bucket) && inBucket[bucket] < n {
			return true, nil
		}
	}
	return slices.ContainsFunc(added, func(id lead.ID) bool { return isOldest[id] }), nil
}

func leadIDs(leads []lead.Lead) []lead.ID {
	ids := make([]lead.ID, len(leads))
	for i, l := range leads {
		ids[i] = l.ID
	}
	return ids
}

func countBuckets(ids []lead.ID) map[string]int64 {
	n := map[string]int64{}
	for _, id := range ids {
		n[counter.Bucket(createdAt(id))]++
	}
	return n
}

// maxExtraRows and maxLookups limit what it costs to find deleted leads among
// those that are skipped.
const (
	maxExtraRows = 2000
	maxLookups   = 100
)

// wholeBuckets returns how many rows to read so that the buckets of the first n
// leads are read whole, or 0 if nothing of theirs was deleted of late or the rows
// are too many.
func (r *indexReader) wholeBuckets(s start, n int) int {
	sum, isStale := int64(0), false
	for _, bucket := range slices.Backward(slices.Sorted(maps.Keys(r.known(s)))) {
		if bucket >= s.before || sum >= int64(n) {
			continue
		}
		sum += r.known(s)[bucket]
		isStale = isStale || r.view.LeftOfLate(counter.Day(bucket))
	}
	if !isStale || sum-int64(n) > maxExtraRows {
		return 0
	}
	return int(sum) + spareRows
}

// known returns how many leads there are in the buckets that are known.
func (r *indexReader) known(s start) map[string]int64 {
	if s.count.Count == 0 || r.spans[s.count.From] > 0 {
		return r.spans
	}
	known := maps.Clone(r.spans)
	known[s.count.From] = s.count.Count
	return known
}

// dropStale removes deleted leads from those that are skipped. It returns false
// if there are too many to look up.
func (r *indexReader) dropStale(ctx context.Context, ids *[]lead.ID, more bool, s start) (ok bool, err error) {
	after, before := s.part(*ids, more)
	shown, known := countBuckets(*ids), r.known(s)
	exists := map[lead.ID]bool{}
	for lookups := 0; ; {
		var doubtful []lead.ID
		for _, id := range (*ids)[:min(s.skip, len(*ids))] {
			bucket := counter.Bucket(createdAt(id))
			n, isKnown := known[bucket]
			isRight := isKnown && bucket > after && bucket+"~" <= before && shown[bucket] == n
			if !exists[id] && !isRight && r.view.LeftOfLate(counter.Day(bucket)) {
				doubtful = append(doubtful, id)
			}
		}
		if len(doubtful) == 0 {
			return true, nil
		}
		if lookups += len(doubtful); lookups > maxLookups {
			return false, nil
		}
		found, err := r.t.fetchLeads(ctx, r.tenant, doubtful)
		if err != nil {
			return false, err
		}
		for _, l := range found {
			exists[l.ID] = true
		}
		*ids = slices.DeleteFunc(*ids, func(id lead.ID) bool { return slices.Contains(doubtful, id) && !exists[id] })
	}
}

// countPart counts the leads of a part of a piece of time that the counters count
// as a whole.
func (r *indexReader) countPart(ctx context.Context, piece counter.Place, from, to string) (int64, error) {
	s := start{after: from, before: to}
	if r.series == counter.All { // read the whole piece, to compare it with its count
		s = start{after: piece.From, before: piece.To}
	}
	for {
		ids, _, err := r.t.readIndex(ctx, r.tenant, r.series, s, 0)
		if err != nil {
			return 0, err
		}
		if r.series != counter.All {
			return int64(len(ids)), nil
		}
		n, isStale := int64(len(ids)), r.view.LeftOfLate(counter.Day(piece.From))
		if n == piece.Count || n > piece.Count && !isStale || !r.wait(ctx) {
			return int64(len(slices.DeleteFunc(ids, func(id lead.ID) bool {
				return createdAt(id) < from || createdAt(id) >= to
			}))), nil
		}
	}
}
