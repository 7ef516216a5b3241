package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// live has many clients, each with a process of its own, work on the same two
// leads while faults happen at random, and returns what they were told.
func live(ctx context.Context, client *dynamodb.Client, seed uint64, b build) (*history, error) {
	w, err := newWorld(ctx, client, 2, time.Second)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, buildKey{}, b)
	if seed%2 == 0 {
		ctx, _ = under(ctx, time.Millisecond)
	}
	h := w.live(ctx, seed, func(int) http.Handler { return w.process() }, unreliable)
	w.end(ctx, h)
	return h, nil
}

// mostInCall is the most of the world's time that may pass during a call: a store
// has patience for ten seconds, and keeps the marks by which it knows an update
// again for fifteen.
const mostInCall = 10 * time.Second

// live is the work of the clients. Each has a process, and each of its calls a
// wire.
func (w *world) live(ctx context.Context, seed uint64, process func(client int) http.Handler, line func(*rand.Rand) wire) *history {
	h := &history{leads: map[string][]porcupine.Operation{}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	began := map[int]time.Time{} // the calls that are under way, by client
	for c := range 5 {
		process := process(c)
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(c)))
			seen := map[string]int{} // the last version that the client knows
			for n := range 30 {
				in := pick(chance, seen, fmt.Sprintf("%d.%d", c, n))
				limit := time.Minute
				if chance.IntN(12) == 0 {
					limit = apiMargin + silence/2 // the client gives up early
				}
				call := func(r request) answer {
					bounded, cancel := context.WithTimeout(over(ctx, line(chance)), limit)
					defer cancel()
					return w.callOn(bounded, process, r)
				}
				mu.Lock()
				began[c] = w.clock()
				mu.Unlock()
				a := h.do(c, in, call)
				if in.kind == "create" && unknown(a) {
					h.do(c, in, call) // a client with a key may always ask again
				}
				if found := etagPattern.FindString(a.etag); found != "" {
					seen[in.name] = number(etagPattern, found)
				}
				passes := time.Duration(chance.IntN(400)) * time.Millisecond
				mu.Lock()
				delete(began, c)
				for _, at := range began {
					passes = min(passes, at.Add(mostInCall).Sub(w.clock()))
				}
				w.pass(max(passes, 0))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return h
}

// end has the world's process say how it all ended.
func (w *world) end(ctx context.Context, h *history) {
	for _, in := range []input{{kind: "read", name: "lead_1"}, {kind: "read", name: "lead_2"}, {kind: "total"}} {
		h.do(5, in, func(r request) answer { return w.call(ctx, r) })
	}
}

// pick draws what to ask next.
func pick(chance *rand.Rand, seen map[string]int, value string) input {
	name := fmt.Sprintf("lead_%d", 1+chance.IntN(2))
	switch n := chance.IntN(100); {
	case n < 25:
		return input{kind: "read", name: name}
	case n < 55:
		return input{kind: "write", name: name, value: value}
	case n < 78:
		return input{kind: "write", name: name, value: value, match: seen[name]}
	case n < 79:
		return input{kind: "delete", name: name, match: seen[name]}
	case n < 90:
		return input{kind: "create", value: value}
	}
	return input{kind: "total"}
}

// unreliable is a wire on which one in five requests meets some fault.
func unreliable(chance *rand.Rand) wire {
	return func(x *exchange) (*http.Response, error) {
		if chance.IntN(5) > 0 {
			return x.send()
		}
		possible := faults(x)
		return possible[chance.IntN(len(possible))].wire(x)
	}
}

// TestHistoriesAreLinearizable judges what many clients were told, under faults
// and, every second time, where transactions that meet cancel each other.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	client := start(t)
	for i := range 4 * uint64(*effort) {
		h, err := live(t.Context(), client, *seed+i, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := right
		ok, why := h.judge(register{1, "here"}, 2)
		if !ok {
			v = wrong
			t.Errorf("seed %d: %s", *seed+i, why)
		}
		for _, entries := range h.leads {
			for range entries {
				proven.add("faults at random", "many at once", right)
			}
		}
		proven.add("histories of the above", "many at once", v)
	}
}

// TestHistoriesShowMistakes breaks the product and expects a history that
// cannot have happened.
func TestHistoriesShowMistakes(t *testing.T) {
	t.Parallel()
	client := start(t)
	for _, name := range []string{"an update checks nothing", "an update leaves no nonce"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range uint64(30) {
				h, err := live(t.Context(), client, *seed+i, mistakes[name].build)
				if err != nil {
					t.Fatal(err)
				}
				if ok, _ := h.judge(register{1, "here"}, 2); !ok {
					return
				}
			}
			t.Error("30 histories look as if nothing were wrong")
		})
	}
}
