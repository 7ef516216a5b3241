package faults

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the model of a lead: a version and the value of one field. A
// write with If-Match is a compare-and-set. The zero register is a deleted lead.
type register struct {
	version int
	value   string
}

// input is what a client requests, of a lead or of all leads.
type input struct {
	kind    string // read, write, delete; create, total
	name    string // of the lead; "" for create and total
	value   string // to write; of a create, the Idempotency-Key
	version int    // for If-Match, or 0

	faults *[]string // what its database calls met, to be printed
}

// output is the response. Status 0 is a response that leaves open whether the
// request took effect.
type output struct {
	status, version int
	value           string
}

func (in input) String() string {
	text := fmt.Sprintf("%s %s %q", in.kind, in.name, in.value)
	if in.version != 0 {
		text += fmt.Sprintf(" if version %d", in.version)
	}
	if in.faults != nil && len(*in.faults) > 0 {
		text += " (" + strings.Join(*in.faults, ", ") + ")"
	}
	return text
}

// newModel returns a model with one possible first state. step returns the
// states that can follow, none where the output is impossible.
func newModel[S any](first S, step func(s S, in input, out output) []any) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(s, in, out any) []any { return step(s.(S), in.(input), out.(output)) },
	}).ToModel()
}

// leadModel is the model of one lead.
func leadModel(first register) porcupine.Model {
	return newModel(first, func(s register, in input, out output) []any {
		exists := s.version != 0
		matches := exists && (in.version == 0 || in.version == s.version)
		next := register{s.version + 1, in.value}
		if in.kind == "delete" {
			next = register{}
		}
		switch {
		case in.kind == "read":
			if out.status == 0 || out.status == 404 && !exists || out.status == 200 && s == (register{out.version, out.value}) {
				return []any{s}
			}
		case out.status == 200 && matches:
			return []any{next}
		case out.status == 404 && !exists, out.status == 412 && exists && !matches:
			return []any{s}
		case out.status == 404 && in.kind == "write" && matches:
			// The write took effect and its response was lost. Then the lead was
			// deleted, so the second attempt found none. That read is an operation
			// of its own.
			return []any{next}
		case out.status == 0 && matches:
			return []any{s, next}
		case out.status == 0:
			return []any{s}
		}
		return nil
	})
}

// totalModel is the model of the number of leads.
func totalModel(first int) porcupine.Model {
	return newModel(first, func(n int, in input, out output) []any {
		change := map[string]int{"create": 1, "delete": -1}[in.kind]
		switch {
		case in.kind == "total":
			if out.status == 0 || out.version == n {
				return []any{n}
			}
			return nil
		case out.status == 0 && change != 0:
			return []any{n, n + change}
		case out.status == 200 || out.status == 201:
			return []any{n + change}
		}
		return []any{n} // refused
	})
}

// history is what clients requested and got, and when.
type history struct {
	mu    sync.Mutex
	leads map[string][]porcupine.Operation
	total []porcupine.Operation
	clock atomic.Int64

	disorder string // operations of a batch that took effect in another order
}

func newHistory() *history { return &history{leads: map[string][]porcupine.Operation{}} }

// never is the end of a request that can still take effect.
const never = int64(1) << 60

var (
	cityPattern = regexp.MustCompile(`"city":"([^"]*)"`)
	etagPattern = regexp.MustCompile(`^"(\d+)"$`)
)

func findCity(r response) string {
	if found := cityPattern.FindStringSubmatch(r.body); found != nil {
		return found[1]
	}
	return ""
}

// findNumber returns the number that a pattern captures, and -1 where it does
// not match.
func findNumber(pattern *regexp.Regexp, text string) int {
	found := pattern.FindStringSubmatch(text)
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// isChange reports whether the input can be an operation of a batch.
func (in input) isChange() bool {
	return in.kind == "write" || in.kind == "delete" || in.kind == "create"
}

// request returns the request for the input.
func (in input) request() request {
	r := request{
		method: map[string]string{"read": "GET", "write": "PATCH", "delete": "DELETE", "create": "POST", "total": "GET"}[in.kind],
		header: map[string]string{},
	}
	if in.name != "" {
		r.path = "/" + in.name
	}
	if in.kind == "write" {
		r.body = `{"city":"` + in.value + `"}`
	}
	if in.version != 0 {
		r.header["If-Match"] = fmt.Sprintf(`"%d"`, in.version)
	}
	if in.kind == "create" {
		r.header["Idempotency-Key"] = in.value
	}
	return r
}

// run sends a request, adds it to the history, and returns its response.
func (h *history) run(client int, in input, send func(request) response) response {
	return h.runAll(client, []input{in}, send)[0]
}

// runAll sends a request, or several in a batch, adds them to the history, and
// returns their responses.
func (h *history) runAll(client int, inputs []input, send func(request) response) []response {
	r := inputs[0].request()
	if len(inputs) > 1 {
		var operations batch
		for _, in := range inputs {
			operations = append(operations, in.request().operation())
		}
		r = operations.request()
	}
	start := h.clock.Add(1)
	got := send(r)
	end := h.clock.Add(1)
	responses := []response{got}
	if len(inputs) > 1 {
		responses = splitBatch(got, len(inputs))
	}
	versions := map[string]int{}
	for i, in := range inputs {
		h.add(client, in, responses[i], start, end)
		version := findNumber(etagPattern, responses[i].etag)
		if in.name != "" && version > 0 && version <= versions[in.name] {
			h.mu.Lock()
			h.disorder = fmt.Sprintf("operations of a batch in another order: %v -> %v", inputs, responses)
			h.mu.Unlock()
		}
		versions[in.name] = version
	}
	return responses
}

// add adds a request and its response to the history.
func (h *history) add(client int, in input, got response, start, end int64) {
	out := output{status: got.status}
	switch {
	case isUnknown(got):
		out.status, end = 0, never
	case got.replayed != "":
		out.status = 208 // created by an earlier request
	case in.kind == "total":
		out.version = findNumber(totalPattern, got.body)
	case in.kind == "read" || in.kind == "write":
		out.version = max(findNumber(etagPattern, got.etag), 0)
		out.value = findCity(got)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: in, Call: start, Output: out, Return: end}
	if in.name == "" || in.kind == "delete" {
		h.total = append(h.total, op)
	}
	if in.name != "" {
		h.leads[in.name] = append(h.leads[in.name], op)
		if in.kind == "write" && (out.status == 200 || out.status == 404) {
			// The lead in the response is that of a read: where the first response
			// was lost, others may have written since.
			op.Input, op.ClientId = input{kind: "read", name: in.name}, client+1000
			h.leads[in.name] = append(h.leads[in.name], op)
		}
	}
}

// isUnknown reports whether a response leaves open if the request took effect.
func isUnknown(r response) bool { return isRetryLater(r) || r.status == gaveUp }

// check returns "" where the history is linearizable from the first state of
// each lead and the first total, and else the part that is not.
func (h *history) check(first register, total int) (violation string) {
	const timeLimit = time.Minute
	if h.disorder != "" {
		return h.disorder
	}
	for name, operations := range h.leads {
		if r, _ := porcupine.CheckOperationsVerbose(leadModel(first), operations, timeLimit); r != porcupine.Ok {
			return fmt.Sprintf("%s: %s\n%s", name, r, describe(operations))
		}
	}
	if r, _ := porcupine.CheckOperationsVerbose(totalModel(total), h.total, timeLimit); r != porcupine.Ok {
		return fmt.Sprintf("total: %s\n%s", r, describe(h.total))
	}
	return ""
}

// describe prints operations with the numbers of their starts and ends.
func describe(operations []porcupine.Operation) (text string) {
	for _, o := range operations {
		text += fmt.Sprintf("%4d…%-4d client %d: %v -> %v\n", o.Call, min(o.Return, 9999), o.ClientId, o.Input, o.Output)
	}
	return text
}
