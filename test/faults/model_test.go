package faults

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// A lead, to the model, is a register: its version and the value of one field.
// If-Match makes a write a compare-and-set. The zero lead is one that is gone.
type register struct {
	version int
	value   string
}

// input is what a client asked of a lead or of the list.
type input struct {
	kind  string // read, write, delete; create, total
	name  string // of the lead, "" for what concerns the total
	value string // to be written
	match int    // the version of If-Match, or 0
}

// output is what it was told. Status 0 stands for any answer that leaves open
// whether it was done: the client was told to come again, or nothing.
type output struct {
	status  int
	version int
	value   string
}

func (in input) String() string {
	return fmt.Sprintf("%s %s %q if %d", in.kind, in.name, in.value, in.match)
}

// leadModel says which answers about one lead can follow each other.
func leadModel(first register) porcupine.Model {
	none := []any{}
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, in, out any) []any {
			s, i, o := state.(register), in.(input), out.(output)
			matches := s.version != 0 && (i.match == 0 || i.match == s.version)
			then := register{s.version + 1, i.value}
			if i.kind == "delete" {
				then = register{}
			}
			switch {
			case i.kind == "read":
				if o.status == 0 || o.status == 404 && s.version == 0 || o.status == 200 && s == (register{o.version, o.value}) {
					return []any{s}
				}
			case o.status == 200 && matches:
				return []any{then}
			case o.status == 404 && s.version == 0, o.status == 412 && s.version != 0 && !matches:
				return []any{s}
			case o.status == 404 && i.kind == "write" && matches:
				// Done and not said; then the lead was deleted, and that was the
				// answer to the second attempt. That it was gone is another entry.
				return []any{then}
			case o.status == 0 && matches:
				return []any{s, then}
			case o.status == 0:
				return []any{s}
			}
			return none
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprint(in, " -> ", out) },
	}).ToModel()
}

// totalModel says which totals can be told while leads come and go.
func totalModel(first int) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, in, out any) []any {
			n, i, o := state.(int), in.(input), out.(output)
			change := map[string]int{"create": 1, "delete": -1}[i.kind]
			switch {
			case i.kind == "total":
				if o.status == 0 || o.version == n {
					return []any{n}
				}
				return []any{}
			case o.status == 0 && change != 0:
				return []any{n, n + change}
			case o.status == 200 || o.status == 201:
				return []any{n + change}
			}
			return []any{n} // refused
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprint(in, " -> ", out) },
	}).ToModel()
}

// history is what clients asked and were told, and when.
type history struct {
	mu    sync.Mutex
	leads map[string][]porcupine.Operation
	total []porcupine.Operation
	clock atomic.Int64
}

// endless is the end of a call whose effect may come at any time.
const endless = int64(1) << 60

var (
	cityPattern = regexp.MustCompile(`"city":"([^"]*)"`)
	etagPattern = regexp.MustCompile(`^"(\d+)"$`)
)

func number(pattern *regexp.Regexp, text string) int {
	found := pattern.FindStringSubmatch(text)
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// do makes a call, enters it into the history, and returns its answer.
func (h *history) do(client int, in input, call func(request) answer) answer {
	r := request{method: map[string]string{"read": "GET", "write": "PATCH", "delete": "DELETE", "create": "POST", "total": "GET"}[in.kind]}
	if in.name != "" {
		r.path = "/" + in.name
	}
	if in.kind == "write" {
		r.body = `{"city":"` + in.value + `"}`
	}
	r.header = map[string]string{}
	if in.match != 0 {
		r.header["If-Match"] = fmt.Sprintf(`"%d"`, in.match)
	}
	if in.kind == "create" {
		r.header["Idempotency-Key"] = in.value
	}
	began := h.clock.Add(1)
	a := call(r)
	ended := h.clock.Add(1)

	out := output{status: a.status}
	switch {
	case unknown(a):
		out.status, ended = 0, endless
	case a.replay != "":
		out.status = 208 // it was made before
	case in.kind == "total":
		out.version = number(totalPattern, a.body)
	case in.kind == "read" || in.kind == "write":
		out.version = max(number(etagPattern, a.etag), 0)
		if found := cityPattern.FindStringSubmatch(a.body); found != nil {
			out.value = found[1]
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	entry := porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended}
	if in.name != "" {
		h.leads[in.name] = append(h.leads[in.name], entry)
		if in.kind == "write" && (out.status == 200 || out.status == 404) {
			// What it was told of the lead, it was told as a reader: where its
			// answer was lost, others may have written since.
			entry.Input, entry.ClientId = input{kind: "read", name: in.name}, client+1000
			h.leads[in.name] = append(h.leads[in.name], entry)
		}
	}
	if in.name == "" || in.kind == "delete" {
		h.total = append(h.total, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
	}
	return a
}

// unknown reports whether an answer leaves open what was done.
func unknown(a answer) bool { return busy(a) || a.status == gaveUp }

// judge reports whether the history can have happened one call at a time.
func (h *history) judge(first register, total int) (ok bool, why string) {
	const patience = time.Minute
	for name, entries := range h.leads {
		if r, _ := porcupine.CheckOperationsVerbose(leadModel(first), entries, patience); r != porcupine.Ok {
			return false, fmt.Sprintf("%s: %s\n%s", name, r, describe(entries))
		}
	}
	if r, _ := porcupine.CheckOperationsVerbose(totalModel(total), h.total, patience); r != porcupine.Ok {
		return false, fmt.Sprintf("total: %s\n%s", r, describe(h.total))
	}
	return true, ""
}

func describe(entries []porcupine.Operation) (text string) {
	for _, e := range entries {
		text += fmt.Sprintf("%4d…%-4d client %d: %v -> %v\n", e.Call, min(e.Return, 9999), e.ClientId, e.Input, e.Output)
	}
	return text
}
