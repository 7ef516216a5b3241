package api

import (
	"net/http"
	"strconv"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

// etag returns the entity tag of a lead at this version. It is strong: equal
// tags mean the same bytes (RFC 9110, section 8.8.1).
func etag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// precondition reads If-Match and If-None-Match (RFC 9110, sections 13.1.1 and
// 13.1.2).
func (c *call) precondition() lead.Precondition {
	return lead.Precondition{
		Match:     versions(c.r.Header, "If-Match", false),
		NoneMatch: versions(c.r.Header, "If-None-Match", true),
	}
}

// versions returns the versions whose tags a header lists, or nil where there
// is no such header. A tag that is none of ours, or no tag at all, matches no
// version. A weak tag counts only where the comparison is weak.
func versions(h http.Header, name string, weak bool) *lead.Versions {
	lines := h.Values(name)
	if len(lines) == 0 {
		return nil
	}
	list := strings.Join(lines, ",")
	v := &lead.Versions{Any: strings.Trim(list, " \t") == "*"}
	for list != "" {
		list = strings.TrimLeft(list, " \t,")
		tag, isWeak := strings.CutPrefix(list, "W/")
		opaque, ok := strings.CutPrefix(tag, `"`)
		if !ok { // no tag: on to the next comma
			_, list, _ = strings.Cut(list, ",")
			continue
		}
		opaque, list, ok = strings.Cut(opaque, `"`)
		if n, isNumber := decimal(opaque); ok && isNumber && (weak || !isWeak) {
			v.List = append(v.List, n)
		}
	}
	return v
}
