package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
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

// buildLeads builds the command leads once for all tests.
var buildLeads = sync.OnceValues(func() (string, error) {
	program := filepath.Join(buildDir, "leads")
	if output, err := exec.Command("go", "build", "-o", program, "../../cmd/leads").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	return program, nil
})

// process is a running "leads serve".
type process struct {
	cmd  *exec.Cmd
	url  string
	log  *safeBuffer
	wait func() error
}

// startServe starts "leads serve" with the database at this endpoint.
func startServe(t *testing.T, endpoint string) *process {
	t.Helper()
	program, err := buildLeads()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(program, "serve", "-addr", "127.0.0.1:0", "-data", ":memory:"), log: &safeBuffer{}}
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
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.wait()
	})
	output := bufio.NewReader(stdout)
	for p.url == "" {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatalf("leads serve does not start: %v\n%s", err, p.log)
		}
		p.url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	}
	go io.Copy(io.Discard, output)
	return p
}

// gaveUp is the status of a request whose client did not wait for a response.
const gaveUp = 599

// handler returns a handler that forwards requests to the process.
func (p *process) handler(t testing.TB, client *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host, _ = strings.Cut(p.url, "://")
		if r.ContentLength == 0 {
			out.Body = nil
		}
		resp, err := client.Do(out)
		body, err := readResponse(resp, err)
		if err != nil {
			if r.Context().Err() != nil {
				w.WriteHeader(gaveUp)
				return
			}
			t.Errorf("%s %s has no complete response: %v", r.Method, r.URL.Path, err)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(body)
	})
}

// checkResources ends the process. It fails the test where the process has
// leaked goroutines or connections, or used too much memory.
func (p *process) checkResources(t *testing.T) {
	t.Helper()
	memory := p.memory(t)
	stacks, connections := p.stacks(t)
	t.Logf("at the end %d goroutines and %d connections to the database, at most %d MB", len(stacks), connections, memory>>20)
	if len(stacks) > 20 {
		t.Errorf("%d goroutines are left:\n%s", len(stacks), strings.Join(stacks, "\n\n"))
	}
	if connections > 256 { // the product's limit of idle connections
		t.Errorf("%d connections to the database are left", connections)
	}
	if memory > 256<<20 {
		t.Errorf("it used %d MB", memory>>20)
	}
}

// stacks ends the process. It returns the stacks of its goroutines, without
// those of idle connections, and the number of connections to the database, each
// of which has two goroutines.
func (p *process) stacks(t *testing.T) (stacks []string, connections int) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p.wait()
	for stack := range strings.SplitSeq(p.log.String(), "\n\n") {
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
		t.Fatalf("the process did not print its goroutines: %s", p.log)
	}
	return stacks, connections / 2
}

// memory returns the bytes of memory that the process has used at most or, where
// the system does not tell that, uses now.
func (p *process) memory(t *testing.T) (bytes int64) {
	t.Helper()
	pid := fmt.Sprint(p.cmd.Process.Pid)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		if status, err = exec.Command("ps", "-o", "rss=", "-p", pid).Output(); err != nil {
			t.Fatal(err)
		}
		status = append([]byte("VmHWM:"), status...)
	}
	found := regexp.MustCompile(`VmHWM:\s*(\d+)`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no memory in %s", status)
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// safeBuffer is a buffer for concurrent writers.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newFixtures returns the fixtures of a round behind a proxy.
func newFixtures(t *testing.T, client *dynamodb.Client) (fixtures [4]*fixture) {
	for i := range fixtures {
		fixtures[i] = newFixture(t, client, 2, time.Second)
	}
	return fixtures
}

// runBehindProxy runs clients in all fixtures at once while the proxy is faulty,
// and returns their histories.
func runBehindProxy(ctx context.Context, p *proxy, fixtures [4]*fixture, round int, processOf func(f *fixture, client int) http.Handler) (histories [4]*history) {
	var wg sync.WaitGroup
	p.setFaulty(true)
	for i, f := range fixtures {
		wg.Go(func() {
			s := *seed + uint64(round*len(fixtures)+i)
			histories[i] = f.runClients(ctx, s, false, func(client int) http.Handler { return processOf(f, client) })
		})
	}
	wg.Wait()
	p.setFaulty(false)
	for i, f := range fixtures {
		f.readFinalState(ctx, histories[i])
	}
	return histories
}

// TestProcessesBehindFaultyProxyAreLinearizable runs clients of two processes
// behind a faulty proxy. Each history must be linearizable, an audit of the
// counts must find no difference, and no process may leak anything.
func TestProcessesBehindFaultyProxyAreLinearizable(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	proxy := startProxy(t, *client.Options().BaseEndpoint, *seed)
	processes := []*process{startServe(t, proxy.server.URL), startServe(t, proxy.server.URL)}
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	handlers := []http.Handler{processes[0].handler(t, caller), processes[1].handler(t, caller)}
	for round := range *effort {
		fixtures := newFixtures(t, client)
		for i, f := range fixtures {
			f.api = handlers[i%2]
		}
		histories := runBehindProxy(t.Context(), proxy, fixtures, round, func(_ *fixture, client int) http.Handler { return handlers[client%2] })
		for i, f := range fixtures {
			v := correct
			for _, problem := range []string{histories[i].check(register{1, "here"}, 2), f.audit(t.Context())} {
				if problem != "" {
					v = wrong
					t.Errorf("%v: seed %d, round %d, fixture %d: %s", v, *seed, round, i, problem)
				}
			}
			record("proxy: histories of these", "processes", v)
		}
	}
	for _, f := range proxyFaults[1:] {
		for range proxy.counts[f.name] {
			record("proxy: "+f.name, "processes", correct)
		}
	}
	caller.CloseIdleConnections()
	for i, p := range processes {
		p.checkResources(t)
		if log := p.log.String(); strings.Contains(log, `"status":500`) {
			t.Errorf("process %d responded 500: %.500s", i+1, log[max(0, strings.Index(log, `"status":500`)-200):])
		}
	}
}

// TestFaultyProxyDetectsMutant expects a history behind the proxy that is not
// linearizable.
func TestFaultyProxyDetectsMutant(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	proxy := startProxy(t, *client.Options().BaseEndpoint, *seed)
	options := client.Options()
	options.BaseEndpoint = &proxy.server.URL
	client = dynamodb.New(options)
	m := findMutant(withoutNonce)
	ctx := conditions{mutant: m}.in(t.Context())
	detected := false
	for round := 0; round < 8 && !detected; round++ {
		for _, h := range runBehindProxy(ctx, proxy, newFixtures(t, client), round, func(f *fixture, _ int) http.Handler { return f.newAPI() }) {
			detected = detected || h.check(register{1, "here"}, 2) != ""
		}
	}
	if err := m.check(detected); err != nil {
		t.Error(err)
	}
}

// audit counts the leads anew and returns how the counters differ.
func (f *fixture) audit(ctx context.Context) (difference string) {
	table := f.newTable()
	table.Now = time.Now
	_, err := table.Audit(ctx, dynamo.Audit{
		Tenant: f.tenant,
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
