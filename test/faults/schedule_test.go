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
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// scheduler holds back the database calls of two requests and lets one call pass
// at a time.
type scheduler struct {
	ready chan int // a request has a call ready
	pass  [2]chan struct{}
}

// noLoss are the requests' calls whose responses are lost: none.
var noLoss = [2]int{-1, -1}

// injector is for the calls of one of the requests. lost is the number of the
// call whose response is lost, from 0, or negative for none.
func (s *scheduler) injector(request, lost int) injector {
	return numbered(func(n int, c *call) (*http.Response, error) {
		s.ready <- request
		<-s.pass[request]
		if n == lost {
			return executeThen(failWith(io.EOF))(c)
		}
		return c.send()
	})
}

// runSchedule runs two requests. Whenever both have a call ready, schedule says
// which of them comes next; after its end, the first. runSchedule returns whose
// call passed at each step, and at which steps there was a choice.
func runSchedule(schedule []int, requests [2]func(injector), lost [2]int) (steps []int, choice []bool) {
	s := &scheduler{ready: make(chan int)}
	done := make(chan int)
	running := map[int]bool{}
	for i := range requests {
		s.pass[i] = make(chan struct{})
		running[i] = true
		go func() {
			requests[i](s.injector(i, lost[i]))
			done <- i
		}()
	}
	waiting := map[int]int{} // calls that are ready; a list makes two at the same time
	for {
		for settled := false; len(waiting) < len(running) || !settled; {
			var settle <-chan time.Time
			if len(waiting) == len(running) {
				settle = time.After(time.Millisecond)
			}
			select {
			case i := <-s.ready:
				waiting[i]++
			case i := <-done:
				delete(running, i)
			case <-settle:
				settled = true
			}
		}
		if len(running) == 0 {
			return steps, choice
		}
		next := 0
		if waiting[0] == 0 {
			next = 1
		}
		both := len(waiting) == 2
		if both && len(steps) < len(schedule) {
			next = schedule[len(steps)]
		}
		steps, choice = append(steps, next), append(choice, both)
		if waiting[next]--; waiting[next] == 0 {
			delete(waiting, next)
		}
		s.pass[next] <- struct{}{}
	}
}

// forEachSchedule calls run with every possible schedule. run returns what
// runSchedule returned.
func forEachSchedule(run func(schedule []int) (steps []int, choice []bool)) {
	for schedule := []int{}; ; {
		steps, choice := run(schedule)
		i := len(steps) - 1
		for i >= 0 && !(choice[i] && steps[i] == 0) {
			i--
		}
		if i < 0 {
			return
		}
		schedule = append(slices.Clone(steps[:i]), 1)
	}
}

// checkSchedules runs two requests in every order and records the outcome of each
// order under the name of an operation. run is like runPair.
func checkSchedules(t *testing.T, operation string, lost [2]int, requests string, run func(schedule []int) ([]int, []bool, string, error)) {
	row := "every schedule"
	if lost != noLoss {
		row += ", with lost responses"
	}
	forEachSchedule(func(schedule []int) ([]int, []bool) {
		steps, choice, violation, err := run(schedule)
		v := correct
		if err != nil || violation != "" {
			v = wrong
			t.Errorf("%v: %s, schedule %v, lost responses %v: %v %s", v, requests, steps, lost, err, violation)
		}
		record(row, operation, v)
		return steps, choice
	})
}

// TestEveryScheduleOfTwoRequestsIsLinearizable runs each pair of requests for one
// lead in every order of their database calls, also with a lost response.
func TestEveryScheduleOfTwoRequestsIsLinearizable(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	inputs := []input{
		{kind: "read", name: "lead_1"},
		{kind: "write", name: "lead_1"},
		{kind: "write", name: "lead_1", version: 1},
		{kind: "delete", name: "lead_1"},
		{kind: "delete", name: "lead_1", version: 1},
		{kind: "create", value: "key"},
		{kind: "total"},
	}
	isRead := func(in input) bool { return in.kind == "read" || in.kind == "total" }
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, a := range inputs {
		for _, b := range inputs[i:] {
			if isRead(a) && isRead(b) {
				continue // nothing changes
			}
			losses := [][2]int{noLoss, {0, -1}, {0, 0}, {-1, 0}, {1, 0}, {0, 1}, {-1, 2}}
			if b.kind == "total" && *effort == 1 {
				losses = losses[:2] // a list makes many calls, so it has many schedules
			}
			for _, lost := range losses {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					checkSchedules(t, "two requests", lost, fmt.Sprintf("%v and %v", a, b), func(schedule []int) ([]int, []bool, string, error) {
						return runPair(t.Context(), client, schedule, [2]input{a, b}, lost, nil)
					})
				})
			}
		}
	}
	wg.Wait()
}

// TestSchedulesDetectMutant expects a schedule of two deletes that is not
// linearizable without their conditions. No single fault shows that, because a
// delete reads the lead first.
func TestSchedulesDetectMutant(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	m := deleteWithoutConditions()
	detected := false
	forEachSchedule(func(schedule []int) ([]int, []bool) {
		in := input{kind: "delete", name: "lead_1"}
		steps, choice, violation, err := runPair(t.Context(), client, schedule, [2]input{in, in}, noLoss, m)
		if err != nil {
			t.Error(err)
		}
		detected = detected || violation != ""
		return steps, choice
	})
	if err := m.check(detected); err != nil {
		t.Error(err)
	}
}

// runPair runs two requests by a schedule on a new fixture with one lead, by the
// product or a mutant. It returns what runSchedule returns, and what is not
// linearizable in their responses and those of reads afterwards.
func runPair(ctx context.Context, client *dynamodb.Client, schedule []int, inputs [2]input, lost [2]int, m *mutant) (steps []int, choice []bool, violation string, err error) {
	f, err := makeFixture(ctx, client, 1, 0)
	if err != nil {
		return nil, nil, "", err
	}
	h := newHistory()
	var requests [2]func(injector)
	for i, in := range inputs {
		process := f.newAPI()
		// Without this read, the reading of the API key would add schedules.
		if got := f.sendTo(ctx, process, request{method: "GET", path: "/lead_1"}); got.status != 200 {
			return nil, nil, "", errors.New(got.String())
		}
		if in.kind == "write" {
			in.value = fmt.Sprintf("value %d", i)
		}
		requests[i] = func(inject injector) {
			h.run(i, in, func(r request) response { return f.sendTo(conditions{mutant: m, inject: inject}.in(ctx), process, r) })
		}
	}
	steps, choice = runSchedule(schedule, requests, lost)
	for _, in := range []input{{kind: "read", name: "lead_1"}, {kind: "total"}} {
		if got := h.run(2, in, func(r request) response { return f.send(ctx, r) }); got.status >= 500 {
			return steps, choice, "", errors.New(got.String())
		}
	}
	return steps, choice, h.check(register{1, "here"}, 1), nil
}
