package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// The address of the tests of upserts, in two spellings, and another address.
const (
	address      = "ann@example.org"
	sameAddress  = "ANN@Example.org"
	otherAddress = "bob@example.org"
)

// upsertOperations are upserts of an address that no lead has, that a new lead has,
// that a lead has since an update, and that a lead has for long.
func upsertOperations() []operation {
	upsert := request{method: "PUT", path: "?match=email_id", body: `{"email_id":"` + address + `","city":"there","status":"Open"}`}
	create := request{method: "POST", body: `{"email_id":"` + address + `"}`}
	update := request{method: "PATCH", path: "/lead_1", body: create.body}
	remove := request{method: "DELETE", path: "/lead_3"}
	wait := pause{duration: 2 * time.Hour}
	return []operation{
		{column: "upsert", name: "upsert that creates", action: upsert},
		{column: "upsert", name: "upsert that creates again", before: []action{upsert, remove}, action: upsert},
		{column: "upsert", name: "upsert of a new lead", before: []action{create}, action: upsert},
		{column: "upsert", name: "upsert of an updated lead", before: []action{update}, action: upsert},
		{column: "upsert", name: "upsert of an old lead", before: []action{create, wait}, action: upsert},
		{column: "upsert", name: "upsert of an old lead, nothing moves", before: []action{create, upsert, wait}, action: upsert},
		{column: "upsert", name: "upsert with two leads", before: []action{create, update}, action: upsert},
	}
}

// pause is an [action] that lets time pass.
type pause struct {
	request
	duration time.Duration
}

func (p pause) run(_ context.Context, f *fixture) response {
	f.advance(p.duration)
	return response{status: http.StatusOK}
}

// holder is a lead that has the address, or had it. An empty name stands for a lead
// that a request may have created whose response was lost.
type holder struct {
	Name    string
	Version int
	Has     bool // the address
}

// holders are the leads, as JSON, so that states can be compared.
func holdersOf(state string) (all []holder) {
	if err := json.Unmarshal([]byte(state), &all); err != nil {
		panic(err)
	}
	return all
}

func stateOf(all []holder) any {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b holder) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return string(toJSON(all))
}

// changed returns the state in which the lead with this index is another.
func changed(all []holder, i int, next holder) any {
	all = slices.Clone(all)
	all[i] = next
	return stateOf(all)
}

// addressModel is the model of all leads with one address. It is read like
// [leadModel]. An upsert takes effect at one moment, with what it found.
func addressModel() porcupine.Model {
	return newModel(string(toJSON([]holder{})), func(state string, in input, out output) (next []any) {
		all := holdersOf(state)
		var having []int
		for i, h := range all {
			if h.Has {
				having = append(having, i)
			}
		}
		// update adds the states in which a lead has one version more.
		update := func(i int, has bool) {
			h := all[i]
			next = append(next, changed(all, i, holder{in.name, h.Version + 1, has}))
		}
		isUnknown := out.status == 0
		if isUnknown || out.status == 404 {
			next = append(next, state) // not, or not yet, executed
		}
		isNew := in.kind == "upsert" && len(having) == 0 && (isUnknown || out.status == 201) ||
			in.kind == "create" && (isUnknown || out.status == 201)
		if isNew {
			next = append(next, stateOf(append(slices.Clone(all), holder{out.value, 1, true})))
		}
		switch {
		case in.kind == "upsert" && out.status == 409 && len(having) > 1, in.kind == "count" && out.version == len(having):
			next = append(next, state)
		case in.kind == "upsert" && len(having) == 1 && (isUnknown || out.status == 200):
			i := having[0]
			if in.name = all[i].Name; in.name == "" || isUnknown || in.name == out.value {
				if in.name == "" {
					in.name = out.value
				}
				update(i, true)
			}
		}
		if in.kind == "upsert" || in.kind == "create" || in.kind == "count" {
			return next
		}
		exists := false
		for i, h := range all {
			if h.Name != in.name && h.Name != "" {
				continue
			}
			exists = exists || h.Name != ""
			switch {
			case in.kind == "read":
				if out.status == 200 && (h.Version != out.version || h.Has != (out.value == "has")) {
					continue
				}
				next = append(next, changed(all, i, holder{in.name, h.Version, h.Has}))
			case in.kind == "delete" && out.status != 404:
				next = append(next, stateOf(slices.Delete(slices.Clone(all), i, i+1)))
			case in.kind == "join", in.kind == "leave": // as of a write with 404 in leadModel
				update(i, in.kind == "join")
			}
		}
		if out.status == 404 && exists && (in.kind == "delete" || in.kind == "read") {
			return nil
		}
		if out.status == 404 && exists {
			return next[1:]
		}
		return next
	})
}

var (
	leadIDPattern = regexp.MustCompile(`"id":"(lead_\d+)"`)
	hasAddress    = regexp.MustCompile(`(?i)"email_id":"` + address + `"`)
)

// addressHistory is what clients requested of one address and got.
type addressHistory struct {
	history
	names []string // of the leads that clients know
}

func (h *addressHistory) run(client int, in input, send func(request) response) response {
	r := map[string]request{
		"upsert": {method: "PUT", path: "?match=email_id", body: fmt.Sprintf(`{"email_id":%q,"city":%q}`, address, in.value)},
		"create": {method: "POST", body: fmt.Sprintf(`{"email_id":%q,"city":%q}`, sameAddress, in.value)},
		"join":   {method: "PATCH", path: "/" + in.name, body: fmt.Sprintf(`{"email_id":%q}`, sameAddress)},
		"leave":  {method: "PATCH", path: "/" + in.name, body: fmt.Sprintf(`{"email_id":%q}`, otherAddress)},
		"delete": {method: "DELETE", path: "/" + in.name},
		"read":   {method: "GET", path: "/" + in.name},
		"count":  {method: "GET", path: "?email_id=" + address},
	}[in.kind]
	start := h.clock.Add(1)
	got := send(r)
	end := h.clock.Add(1)
	out := output{status: got.status}
	if isUnknown(got) {
		out.status, end = 0, never
	}
	name := ""
	if found := leadIDPattern.FindStringSubmatch(got.body); found != nil && in.kind != "count" {
		name = found[1]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if name != "" && !slices.Contains(h.names, name) {
		h.names = append(h.names, name)
	}
	add := func(client int, in input, out output) {
		h.total = append(h.total, porcupine.Operation{ClientId: client, Input: in, Call: start, Output: out, Return: end})
	}
	read := output{status: got.status, version: max(findNumber(etagPattern, got.etag), 0)}
	if hasAddress.MatchString(got.body) {
		read.value = "has"
	}
	switch {
	case in.kind == "count":
		out.version = findNumber(totalPattern, got.body)
	case in.kind == "read" && out.status == 200:
		out = read
	case in.kind == "upsert", in.kind == "create":
		out.value = name
	}
	add(client, in, out)
	if out.status == 200 && (in.kind == "upsert" || in.kind == "join" || in.kind == "leave") {
		// As in history.add, the lead in the response is that of a read.
		add(client+1000, input{kind: "read", name: name, faults: in.faults}, read)
	}
	return got
}

// checkAddress returns "" where the history is linearizable, after final reads.
func (h *addressHistory) checkAddress(ctx context.Context, f *fixture) string {
	final := []input{{kind: "count"}}
	for _, name := range h.names {
		final = append(final, input{kind: "read", name: name})
	}
	for _, in := range final {
		h.run(100, in, func(r request) response { return f.send(ctx, r) })
	}
	if result, _ := porcupine.CheckOperationsVerbose(addressModel(), h.total, time.Minute); result != porcupine.Ok {
		return fmt.Sprintf("%s\n%s", result, describe(h.total))
	}
	return ""
}

// runUpserts has four clients in two processes work on the leads of one address under
// random faults, in rounds with pauses between them. They send half of the requests
// as batches.
func runUpserts(ctx context.Context, client *dynamodb.Client, seed uint64, m *mutant) (violation string, err error) {
	f, err := makeFixture(ctx, client, 0, 0)
	if err != nil {
		return "", err
	}
	random := rand.New(rand.NewPCG(seed, 5))
	faulty := conditions{mutant: m}.in(ctx)
	if seed%2 == 0 {
		faulty, _ = withConflicts(faulty, time.Millisecond)
	}
	processes := []http.Handler{f.newAPI(), f.newAPI()}
	h := &addressHistory{}
	for round := range 8 {
		var wg sync.WaitGroup
		for client := range 4 {
			source := rand.New(rand.NewPCG(random.Uint64(), 1))
			wg.Go(func() {
				for n := range 3 {
					in := h.randomInput(source, fmt.Sprintf("%d.%d.%d", round, client, n))
					h.run(client, in, func(r request) response {
						ctx := withFaults(faulty, randomFaults(source, in.faults))
						if source.IntN(2) == 0 {
							return f.sendTo(ctx, processes[client%2], r)
						}
						return splitBatch(f.sendTo(ctx, processes[client%2], batch{r.operation()}.request()), 1)[0]
					})
				}
			})
		}
		wg.Wait()
		f.advance([]time.Duration{0, time.Second, 20 * time.Second, 2 * time.Hour}[random.IntN(4)])
	}
	return h.checkAddress(ctx, f), nil
}

// randomInput returns an operation of a client. Leads leave the address and are
// deleted so often that there are mostly none, one or two.
func (h *addressHistory) randomInput(random *rand.Rand, value string) input {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := input{kind: "upsert", value: value, faults: new([]string)}
	n := random.IntN(100)
	switch {
	case n < 45 || len(h.names) == 0:
		return in
	case n < 52:
		in.kind = "create"
		return in
	case n < 64:
		in.kind = "join"
	case n < 82:
		in.kind = "leave"
	default:
		in.kind = "delete"
	}
	in.name = h.names[max(0, len(h.names)-1-random.IntN(3))]
	return in
}

func TestUpsertsUnderFaultsAreLinearizable(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	for i := range 6 * uint64(*effort) {
		t.Run(fmt.Sprint("seed ", *seed+i), func(t *testing.T) {
			t.Parallel()
			violation, err := runUpserts(t.Context(), client, *seed+i, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := correct
			if violation != "" {
				v = wrong
				t.Errorf("%v: seed %d: %s", v, *seed+i, violation)
			}
			record("random: histories of one address", "upsert", v)
		})
	}
}

// upsertWithoutGuard returns a mutant that neither writes nor checks the guard of an
// address.
func upsertWithoutGuard() *mutant {
	mutate := func(operation string, body []byte, send sender) (*http.Response, error) {
		if operation == "TransactWriteItems" {
			o := parse(body)
			o["TransactItems"] = slices.DeleteFunc(transactItems(o), func(write any) bool {
				return itemKeyOf(write).SK == guardSort || write.(object)["ConditionCheck"] != nil
			})
			body = toJSON(o)
		}
		return send(operation, body)
	}
	return &mutant{name: "upsert without a guard", operations: "upsert", mutate: mutate, effects: &effects{}}
}

func TestUpsertsDetectMutant(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		m, detected := upsertWithoutGuard(), false
		for i := uint64(0); i < 30 && !detected; i++ {
			violation, err := runUpserts(t.Context(), client, *seed+i, m)
			if err != nil {
				t.Fatal(err)
			}
			detected = violation != ""
		}
		if err := m.check(detected); err != nil {
			t.Error(err)
		}
	})
	t.Run("schedules", func(t *testing.T) {
		t.Parallel()
		m, detected := upsertWithoutGuard(), false
		forEachSchedule(func(schedule []int) ([]int, []bool) {
			in := input{kind: "upsert"}
			steps, choice, violation, err := runAddressPair(t.Context(), client, schedule, nil, [2]input{in, in}, noLoss, m)
			if err != nil {
				t.Error(err)
			}
			detected = detected || violation != ""
			return steps, choice
		})
		if err := m.check(detected); err != nil {
			t.Error(err)
		}
	})
}

// TestEveryScheduleOfAnUpsertIsLinearizable runs an upsert and each other request in
// every order of their database calls, also with a lost response, after several
// requests.
func TestEveryScheduleOfAnUpsertIsLinearizable(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	upsert := input{kind: "upsert"}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, before := range [][]string{{}, {"create"}, {"upsert"}, {"upsert", "leave"}, {"upsert", "delete", "create"}, {"create", "create"}} {
		for _, kind := range []string{"upsert", "create", "join", "leave", "delete"} {
			if len(before) == 0 && kind != "upsert" && kind != "create" {
				continue // there is no lead
			}
			losses := [][2]int{noLoss, {1, -1}, {2, 0}}
			if *effort > 1 {
				losses = append(losses, [][2]int{{0, 0}, {0, -1}, {2, -1}, {-1, 0}, {-1, 1}}...)
			}
			for _, lost := range losses {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					requests := fmt.Sprintf("upsert and %s after %v", kind, before)
					checkSchedules(t, "upsert", lost, requests, func(schedule []int) ([]int, []bool, string, error) {
						return runAddressPair(t.Context(), client, schedule, before, [2]input{upsert, {kind: kind}}, lost, nil)
					})
				})
			}
		}
	}
	wg.Wait()
}

// runAddressPair is runPair for the leads of an address, after other requests. A
// request for a lead is for the one that was written last.
func runAddressPair(ctx context.Context, client *dynamodb.Client, schedule []int, before []string, inputs [2]input, lost [2]int, m *mutant) (steps []int, choice []bool, violation string, err error) {
	f, err := makeFixture(ctx, client, 0, 0)
	if err != nil {
		return nil, nil, "", err
	}
	h := &addressHistory{}
	last := func(in input) input {
		if len(h.names) > 0 && in.kind != "upsert" && in.kind != "create" {
			in.name = h.names[len(h.names)-1]
		}
		return in
	}
	for _, kind := range before {
		h.run(2, last(input{kind: kind}), func(r request) response { return f.send(ctx, r) })
	}
	var requests [2]func(injector)
	for i, in := range inputs {
		process := f.newAPI()
		// As in runPair, this read keeps the API key out of the schedules.
		if got := f.sendTo(ctx, process, request{method: "GET"}); got.status != 200 {
			return nil, nil, "", errors.New(got.String())
		}
		in = last(in)
		in.value = fmt.Sprintf("value %d", i)
		requests[i] = func(inject injector) {
			h.run(i, in, func(r request) response { return f.sendTo(conditions{mutant: m, inject: inject}.in(ctx), process, r) })
		}
	}
	steps, choice = runSchedule(schedule, requests, lost)
	return steps, choice, h.checkAddress(ctx, f), nil
}

// TestConcurrentUpsertsMakeOneLead has 200 upserts of one new address in two
// processes, under faults.
func TestConcurrentUpsertsMakeOneLead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 0, 0)
	processes := []http.Handler{f.newAPI(), f.newAPI()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	counts := map[int]int{}
	for i := range 200 {
		random := rand.New(rand.NewPCG(*seed, uint64(i)))
		wg.Go(func() {
			inject := func(c *call) (*http.Response, error) {
				if i%10 == 0 {
					return randomFaults(random, new([]string))(c)
				}
				return c.send()
			}
			got := f.sendTo(withInjector(t.Context(), inject), processes[i%2], request{method: "PUT", path: "?match=email_id", body: fmt.Sprintf(`{"email_id":%q,"city":"%d"}`, address, i)})
			mu.Lock()
			defer mu.Unlock()
			switch counts[got.status]++; {
			case got.status != 200 && got.status != 201 && !isRetryLater(got):
				t.Error(got)
			}
		})
	}
	wg.Wait()
	v := correct
	if total := f.total(t.Context()); total != 1 || counts[201] > 1 || counts[200] < 100 {
		v = doubled
		t.Errorf("%v: %d leads; the statuses are %v", v, total, counts)
	}
	record("concurrent upserts of one address", "upsert", v)
	t.Logf("the statuses are %v", counts)
}
