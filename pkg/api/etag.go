package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

// maxTags is how many entity tags a request may list in one header.
const maxTags = 100

// etag returns the entity tag of a lead at this version. It is strong and names
// the version: a lead that has changed has another tag.
func etag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// precondition parses If-Match and If-None-Match (RFC 9110, sections 13.1.1 and
// 13.1.2). Weak tags count only for If-None-Match.
func (r *request) precondition() (lead.Precondition, lead.ValidationError) {
	match, invalid := parseTags(r.Header.Values("If-Match"), "If-Match", false)
	noneMatch, more := parseTags(r.Header.Values("If-None-Match"), "If-None-Match", true)
	return lead.Precondition{Match: match, NoneMatch: noneMatch}, append(invalid, more...)
}

// parseTags returns the versions that the lines of a header list, or nil where
// there is no such header. What is not a tag of this API is skipped: it matches no
// version.
func parseTags(lines []string, name string, weak bool) (v *lead.Versions, invalid lead.ValidationError) {
	if len(lines) == 0 {
		return nil, nil
	}
	list := strings.Join(lines, ",")
	v = &lead.Versions{Any: strings.Trim(list, " \t") == "*"}
	for list != "" {
		list = strings.TrimLeft(list, " \t,")
		tag, isWeak := strings.CutPrefix(list, "W/")
		opaque, ok := strings.CutPrefix(tag, `"`)
		if !ok { // not a tag: skip it
			_, list, _ = strings.Cut(list, ",")
			continue
		}
		opaque, list, ok = strings.Cut(opaque, `"`)
		if n, isNumber := parseDecimal(opaque); ok && isNumber && (weak || !isWeak) {
			v.List = append(v.List, n)
		}
	}
	if len(v.List) > maxTags {
		return nil, lead.ValidationError{{
			Param: name, Code: lead.ParameterInvalid, Message: fmt.Sprintf("Send at most %d entity tags in %s.", maxTags, name),
		}}
	}
	return v, nil
}

// preconditionError returns err, or a more precise error where err is
// [lead.ErrPreconditionFailed].
func preconditionError(err error, only lead.Precondition) error {
	switch {
	case !errors.Is(err, lead.ErrPreconditionFailed):
		return err
	case only.Match != nil && !only.Match.Any && len(only.Match.List) == 0:
		return errNoStrongTag
	case only.NoneMatch != nil:
		return errNoneMatch
	}
	return err
}
