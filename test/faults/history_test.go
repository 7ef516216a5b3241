package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/test/dynamotest"
)

// runHistory has clients work under random faults on the leads of a new fixture,
// and returns their history. Each client has a process whose clock is wrong. An even
// seed adds transaction conflicts.
func runHistory(ctx context.Context, client *dynamodb.Client, seed uint64, m *mutant) (*history, error) {
	f, err := makeFixture(ctx, client, 2, time.Second)
	if err != nil {
		return nil, err
	}
	ctx = conditions{mutant: m}.in(ctx)
	if seed%2 == 0 {
		ctx, _ = withConflicts(ctx, time.Millisecond)
	}
	skews := []time.Duration{0, -40 * time.Second, 20 * time.Second, -time.Hour, time.Hour}
	rand.New(rand.NewPCG(seed, 5)).Shuffle(len(skews), func(i, j int) { skews[i], skews[j] = skews[j], skews[i] })
	h := f.runClients(ctx, seed, true, func(client int) http.Handler { return f.newSkewedAPI(skews[client]) })
	f.readFinalState(ctx, h)
	return h, nil
}

// maxRequestTime is the longest by which the fixture's clock may advance during
// a request. The product retries for ten seconds, and keeps the nonces of
// updates for fifteen.
const maxRequestTime = 10 * time.Second

// runClients has five clients send thirty requests each for two leads, to the
// process of the client. Two of them send their changes in batches.
func (f *fixture) runClients(ctx context.Context, seed uint64, underFaults bool, processOf func(client int) http.Handler) *history {
	h := newHistory()
	var wg sync.WaitGroup
	var mu sync.Mutex
	started := map[int]time.Time{} // the requests in flight, by client
	for client := range 5 {
		process := processOf(client)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			versions := map[string]int{} // the last that the client knows
			for n := range 30 {
				in := randomInput(random, versions, fmt.Sprintf("%d.%d", client, n))
				limit := time.Minute
				if random.IntN(12) == 0 {
					limit = apiMargin + retryTime/2 // the client gives up early
				}
				send := func(r request) response {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					if underFaults {
						ctx = withFaults(ctx, randomFaults(random, in.faults))
					}
					return f.sendTo(ctx, process, r)
				}
				mu.Lock()
				started[client] = f.clock()
				mu.Unlock()
				inputs := []input{in}
				if client%2 == 1 && in.isChange() {
					inputs = extendBatch(random, versions, in)
				}
				for i, got := range h.runAll(client, inputs, send) {
					in := inputs[i]
					if in.kind == "create" && isUnknown(got) {
						h.run(client, in, send) // safe with an Idempotency-Key
					}
					if version := findNumber(etagPattern, got.etag); version > 0 {
						versions[in.name] = version
					}
				}
				advance := time.Duration(random.IntN(400)) * time.Millisecond
				mu.Lock()
				delete(started, client)
				for _, at := range started {
					advance = min(advance, at.Add(maxRequestTime).Sub(f.clock()))
				}
				f.advance(max(advance, 0))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return h
}

// readFinalState adds reads of both leads and of the total to a history.
func (f *fixture) readFinalState(ctx context.Context, h *history) {
	for _, in := range []input{{kind: "read", name: "lead_1"}, {kind: "read", name: "lead_2"}, {kind: "total"}} {
		h.run(5, in, func(r request) response { return f.send(ctx, r) })
	}
}

func randomInput(random *rand.Rand, versions map[string]int, value string) input {
	in := input{kind: "total", faults: new([]string)}
	name := fmt.Sprintf("lead_%d", 1+random.IntN(2))
	switch n := random.IntN(100); {
	case n < 25:
		in.kind, in.name = "read", name
	case n < 55:
		in.kind, in.name, in.value = "write", name, value
	case n < 78:
		in.kind, in.name, in.value, in.version = "write", name, value, versions[name]
	case n < 79:
		in.kind, in.name, in.version = "delete", name, versions[name]
	case n < 90:
		in.kind, in.value = "create", value
	}
	return in
}

// extendBatch returns the input with up to two more changes.
func extendBatch(random *rand.Rand, versions map[string]int, first input) []input {
	inputs := []input{first}
	for range random.IntN(3) {
		in := randomInput(random, versions, fmt.Sprintf("%s.%d", first.value, len(inputs)))
		if in.isChange() {
			in.faults = first.faults
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// randomFaults lets one call in five fail, and adds the faults to names.
func randomFaults(source *rand.Rand, names *[]string) injector {
	// A call can outlive its request, and a batch makes several calls at once.
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(source.Uint64(), 1))
	next := func(c *call) injector {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(5) > 0 {
			return (*call).send
		}
		faults := faultsOf(c)
		f := faults[random.IntN(len(faults))]
		*names = append(*names, c.operation+": "+f.name)
		return f.inject
	}
	return func(c *call) (*http.Response, error) { return next(c)(c) }
}

// TestConcurrentRequestsUnderFaultsAreLinearizable also has the database cut its
// answers to queries and batches into small pages.
func TestConcurrentRequestsUnderFaultsAreLinearizable(t *testing.T) {
	t.Parallel()
	client, meter := dynamotest.Start(t)
	meter.Fault, meter.Now, meter.CutPages = intercept, nil, true
	for i := range 4 * uint64(*effort) {
		t.Run(fmt.Sprint("seed ", *seed+i), func(t *testing.T) {
			t.Parallel()
			h, err := runHistory(t.Context(), client, *seed+i, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := correct
			if violation := h.check(register{1, "here"}, 2); violation != "" {
				v = wrong
				t.Errorf("%v: seed %d: %s", v, *seed+i, violation)
			}
			for _, operations := range h.leads {
				for range operations {
					record("random: requests", "concurrent requests", correct)
				}
			}
			record("random: histories of these", "concurrent requests", v)
		})
	}
}

// TestConcurrentRequestsDetectMutants expects a history that is not linearizable
// for each mutant that concurrency shows.
func TestConcurrentRequestsDetectMutants(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	for _, name := range []string{"update without conditions", withoutNonce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, detected := findMutant(name), false
			for i := uint64(0); i < 30 && !detected; i++ {
				h, err := runHistory(t.Context(), client, *seed+i, m)
				if err != nil {
					t.Fatal(err)
				}
				detected = h.check(register{1, "here"}, 2) != ""
			}
			if err := m.check(detected); err != nil {
				t.Error(err)
			}
		})
	}
}
