package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/dynamotest"
)

// leadsProgram builds the command leads, once, into a directory that TestMain
// removes.
var leadsProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(workplace, "leads")
	if output, err := exec.Command("go", "build", "-o", program, "../../cmd/leads").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	return program, nil
})

// process is a running leads serve.
type process struct {
	cmd   *exec.Cmd
	url   string
	log   *safeLog
	ended func() error
}

// serve starts leads serve over the database at this endpoint.
func serve(t *testing.T, endpoint string) *process {
	t.Helper()
	program, err := leadsProgram()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(program, "serve", "-addr", "127.0.0.1:0", "-data", ":memory:"), log: &safeLog{}}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "LEADS_") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	p.cmd.Env = append(p.cmd.Env, "DYNAMODB_ENDPOINT="+endpoint, "LEADS_TABLE="+dynamotest.TableName, "GOTRACEBACK=all")
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.ended()
	})
	greeting := bufio.NewReader(stdout)
	for p.url == "" {
		line, err := greeting.ReadString('\n')
		if err != nil {
			t.Fatalf("leads serve does not start: %v\n%s", err, p.log.text.String())
		}
		if found := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line); found != "" {
			p.url = found
		}
	}
	go io.Copy(io.Discard, greeting)
	return p
}

// gaveUp is the status of a request whose client did not wait for its answer.
const gaveUp = 599

// handler returns the process as another world has it: a request to the handler
// goes to the process.
func (p *process) handler(t testing.TB, client *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host, _ = strings.Cut(p.url, "://")
		if r.ContentLength == 0 {
			out.Body = nil
		}
		resp, err := client.Do(out)
		switch {
		case r.Context().Err() != nil:
			w.WriteHeader(gaveUp)
			return
		case err != nil:
			t.Errorf("%s %s is not answered: %v", r.Method, r.URL.Path, err)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil && r.Context().Err() != nil {
			w.WriteHeader(gaveUp)
			return
		} else if err != nil {
			t.Errorf("%s %s is answered in part: %v", r.Method, r.URL.Path, err)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(body)
	})
}

// leftovers ends the process and returns the stacks of the goroutines that it
// had, beside those of connections on which nothing happens: of these, two for
// each that leads to the database.
func (p *process) leftovers(t *testing.T) (stacks []string, connections int) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p.ended()
	for stack := range strings.SplitSeq(p.log.text.String(), "\n\n") {
		switch {
		case !strings.HasPrefix(stack, "goroutine "):
		case strings.Contains(stack, "net/http.(*persistConn)"):
			connections++
		case strings.Contains(stack, "net/http.(*conn)") && !strings.Contains(stack, "/pkg/api."):
		default:
			stacks = append(stacks, stack)
		}
	}
	if len(stacks) == 0 {
		t.Fatalf("the process does not tell its goroutines: %s", p.log.text.String())
	}
	return stacks, connections / 2
}

// memory returns how much memory the process has had at most, in bytes or, where
// the system does not tell that, how much it has now.
func (p *process) memory(t *testing.T) (bytes int64) {
	t.Helper()
	pid := fmt.Sprint(p.cmd.Process.Pid)
	said, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		if said, err = exec.Command("ps", "-o", "rss=", "-p", pid).Output(); err != nil {
			t.Fatal(err)
		}
		said = append([]byte("VmHWM:"), said...)
	}
	found := regexp.MustCompile(`VmHWM:\s*(\d+)`).FindSubmatch(said)
	if found == nil {
		t.Fatalf("the memory of the process is not in %s", said)
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// TestTornSockets has clients work on a few leads over two real processes,
// between which and a real engine sockets tear, and judges what they were told
// as TestHistoriesAreLinearizable does. It goes on for a while, so that what
// leaks shows at the end.
func TestTornSockets(t *testing.T) {
	t.Parallel()
	client := startPatient(t)
	proxy := startProxy(t, *client.Options().BaseEndpoint, *seed)
	processes := []*process{serve(t, proxy.endpoint()), serve(t, proxy.endpoint())}
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	handlers := []http.Handler{processes[0].handler(t, caller), processes[1].handler(t, caller)}
	const together = 4
	for round := range uint64(*effort) {
		var wg sync.WaitGroup
		var worlds [together]*world
		var histories [together]*history
		for i := range worlds {
			w, err := newWorld(t.Context(), client, 2, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			w.api, worlds[i] = handlers[i%2], w
		}
		proxy.calm.Store(false)
		for i, w := range worlds {
			wg.Go(func() {
				histories[i] = w.live(t.Context(), *seed+round*together+uint64(i),
					func(client int) http.Handler { return handlers[client%2] },
					func(*rand.Rand) wire { return (*exchange).send })
			})
		}
		wg.Wait()
		proxy.rest()
		for i, w := range worlds {
			w.end(t.Context(), histories[i])
			v := right
			if ok, why := histories[i].judge(register{1, "here"}, 2); !ok {
				v = wrong
				t.Errorf("seed %d: %s", *seed+round*together+uint64(i), why)
			}
			if why := w.audit(t.Context()); why != "" {
				v = wrong
				t.Errorf("seed %d: %s", *seed+round*together+uint64(i), why)
			}
			proven.add("histories of these", "real processes", v)
		}
	}
	for _, f := range socketFaults[1:] {
		for range proxy.met[f.name] {
			proven.add("socket: "+f.name, "real processes", right)
		}
	}
	caller.CloseIdleConnections()
	for i, p := range processes {
		p.mustBeClean(t)
		if log := p.log.text.String(); strings.Contains(log, `"status":500`) {
			t.Errorf("process %d answered 500: %.500s", i+1, log[max(0, strings.Index(log, `"status":500`)-200):])
		}
	}
}

// TestTornSocketsShowMistakes breaks the product and expects that torn sockets
// show it.
func TestTornSocketsShowMistakes(t *testing.T) {
	t.Parallel()
	client := startPatient(t)
	proxy := startProxy(t, *client.Options().BaseEndpoint, *seed)
	options, endpoint := client.Options(), proxy.endpoint()
	options.BaseEndpoint = &endpoint
	client = dynamodb.New(options)
	ctx := context.WithValue(t.Context(), buildKey{}, build(noNonce))
	for i := range uint64(30) {
		w, err := newWorld(ctx, client, 2, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		proxy.calm.Store(false)
		h := w.live(ctx, *seed+i, func(int) http.Handler { return w.process() }, func(*rand.Rand) wire { return (*exchange).send })
		proxy.rest()
		w.end(ctx, h)
		if ok, _ := h.judge(register{1, "here"}, 2); !ok {
			t.Logf("found with seed %d", *seed+i)
			return
		}
	}
	t.Error("30 histories look as if nothing were wrong")
}

// mustBeClean ends the process and fails where it has kept goroutines or
// connections, or had too much memory.
func (p *process) mustBeClean(t *testing.T) {
	t.Helper()
	memory := p.memory(t)
	stacks, connections := p.leftovers(t)
	t.Logf("in the end %d goroutines and %d connections to the database, at most %d MB", len(stacks), connections, memory>>20)
	if len(stacks) > 20 {
		t.Errorf("%d goroutines are left:\n%s", len(stacks), strings.Join(stacks, "\n\n"))
	}
	if connections > 256 { // as many as it keeps for the next crowd
		t.Errorf("%d connections to the database are left", connections)
	}
	if memory > 256<<20 {
		t.Errorf("it had %d MB", memory>>20)
	}
}

// audit recounts the leads and says what differs.
func (w *world) audit(ctx context.Context) (difference string) {
	table := w.table()
	table.Now = time.Now
	_, err := table.Audit(ctx, dynamo.Audit{
		Tenant: w.tenant,
		Found: func(d dynamo.Difference) {
			difference += fmt.Sprintf("%s: %d, should be %d. ", d.Of, d.Says, d.ShouldBe)
		},
		Progress: func(int64, int64) {},
	})
	if err != nil {
		return err.Error()
	}
	return difference
}
