package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/anishathalye/porcupine"
)

// A loom holds the requests of two calls to the database and lets one through
// at a time, in an order that is chosen beforehand.
type loom struct {
	ready chan int // a call has a request ready, or has ended
	turn  [2]chan struct{}
}

// woven is a wire for one of the calls. lose is the number of the request, from
// 0, whose answer is lost; none when negative.
func (l *loom) woven(call, lose int) wire {
	return numbered(func(n int, x *exchange) (*http.Response, error) {
		l.ready <- call
		<-l.turn[call]
		if n == lose {
			return after(fails(io.EOF))(x)
		}
		return x.send()
	})
}

// weave runs two calls; order says whose request goes next whenever both have
// one ready. It returns the order that was taken, and at each of its places
// whether there was a choice.
func weave(order []int, calls [2]func(wire), lose [2]int) (taken []int, choice []bool) {
	l := &loom{ready: make(chan int)}
	ended := make(chan int)
	running := map[int]bool{}
	for i := range calls {
		l.turn[i] = make(chan struct{})
		running[i] = true
		go func() {
			calls[i](l.woven(i, lose[i]))
			ended <- i
		}()
	}
	waiting := map[int]bool{}
	for len(running) > 0 {
		// Until every call that runs waits for its turn.
		for len(waiting) < len(running) {
			select {
			case i := <-l.ready:
				waiting[i] = true
			case i := <-ended:
				delete(running, i)
			}
		}
		if len(running) == 0 {
			break
		}
		next := 0
		if !waiting[0] {
			next = 1
		}
		both := len(waiting) == 2
		if both && len(taken) < len(order) {
			next = order[len(taken)]
		}
		taken, choice = append(taken, next), append(choice, both)
		delete(waiting, next)
		l.turn[next] <- struct{}{}
	}
	return taken, choice
}

// orders calls run with every order there is, one after another: each run
// tells what it took and where it could have gone otherwise.
func orders(run func(order []int) (taken []int, choice []bool)) {
	for order := []int{}; ; {
		taken, choice := run(order)
		i := len(taken) - 1
		for i >= 0 && !(choice[i] && taken[i] == 0) {
			i--
		}
		if i < 0 {
			return
		}
		order = append(slices.Clone(taken[:i]), 1)
	}
}

// TestEveryInterleavingOfTwoCalls runs each pair of calls on one lead in every
// order of their requests, also with the answer to one of them lost.
func TestEveryInterleavingOfTwoCalls(t *testing.T) {
	t.Parallel()
	client := start(t)
	calls := []input{
		{kind: "read", name: "lead_1"},
		{kind: "write", name: "lead_1"},
		{kind: "write", name: "lead_1", match: 1},
		{kind: "delete", name: "lead_1"},
		{kind: "delete", name: "lead_1", match: 1},
		{kind: "create", value: "key"},
		{kind: "total"},
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, a := range calls {
		for _, b := range calls[i:] {
			if reads(a) && reads(b) {
				continue // nothing happens
			}
			losses := [][2]int{{-1, -1}, {0, -1}, {0, 0}, {-1, 0}, {1, 0}, {0, 1}, {-1, 2}}
			if b.kind == "total" && *effort == 1 {
				losses = losses[:2] // a list has many requests, and so very many orders
			}
			for _, lose := range losses {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					fault := "every order of requests"
					if lose != [2]int{-1, -1} {
						fault += ", answers lost"
					}
					orders(func(order []int) ([]int, []bool) {
						taken, choice, why, err := interleave(t.Context(), client, order, [2]input{a, b}, lose, nil)
						v := right
						if err != nil || why != "" {
							v = wrong
							t.Errorf("%v and %v, in the order %v, answers lost %v: %v %s", a, b, taken, lose, err, why)
						}
						proven.add(fault, "two at once", v)
						return taken, choice
					})
				})
			}
		}
	}
	wg.Wait()
}

func reads(in input) bool { return in.kind == "read" || in.kind == "total" }

// interleave runs two calls in an order, in a world of one lead, and judges
// what they and a reader afterwards were told.
func interleave(ctx context.Context, client *dynamodb.Client, order []int, asked [2]input, lose [2]int, b build) (taken []int, choice []bool, why string, err error) {
	world, err := newWorld(ctx, client, 1, 0)
	if err != nil {
		return nil, nil, "", err
	}
	ctx = context.WithValue(ctx, buildKey{}, b)
	h := &history{leads: map[string][]porcupine.Operation{}}
	var run [2]func(wire)
	for i, in := range asked {
		process := world.process()
		// The reading of its key meets nobody, and would only multiply the orders.
		if a := world.callOn(ctx, process, request{method: "GET", path: "/lead_1"}); a.status != 200 {
			return nil, nil, "", errors.New(a.String())
		}
		if in.kind == "write" {
			in.value = fmt.Sprintf("value %d", i)
		}
		run[i] = func(w wire) {
			h.do(i, in, func(r request) answer { return world.callOn(over(ctx, w), process, r) })
		}
	}
	taken, choice = weave(order, run, lose)
	for _, in := range []input{{kind: "read", name: "lead_1"}, {kind: "total"}} {
		if a := h.do(2, in, func(r request) answer { return world.call(ctx, r) }); a.status >= 500 {
			return taken, choice, "", errors.New(a.String())
		}
	}
	_, why = h.judge(register{1, "here"}, 1)
	return taken, choice, why, nil
}
