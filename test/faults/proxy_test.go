package faults

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// proxy is an HTTP proxy between a process and its database. It injects faults
// as an injector does, and turns errors into those of a TCP connection.
type proxy struct {
	server   *httptest.Server
	database string // its host and port
	next     *http.Transport
	active   sync.WaitGroup

	mu     sync.Mutex
	faulty bool
	random *rand.Rand
	counts map[string]int // injected faults
}

// startProxy starts a proxy without faults in front of the database at this
// endpoint.
func startProxy(t *testing.T, endpoint string, seed uint64) *proxy {
	p := &proxy{
		database: strings.TrimPrefix(endpoint, "http://"),
		next:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		random:   rand.New(rand.NewPCG(seed, 7)),
		counts:   map[string]int{},
	}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.next.CloseIdleConnections)
	t.Cleanup(p.server.Close)
	return p
}

// proxyFaults are the faults of the proxy. part is a random number below 1.
var proxyFaults = []struct {
	name   string
	weight int
	inject func(part float64) injector
}{
	{"", 150, func(float64) injector { return (*call).send }},
	{"reset before the request", 4, func(float64) injector { return failWith(syscall.ECONNRESET) }},
	{"reset within the request", 4, cutRequest},
	{"reset, executed", 6, func(float64) injector { return executeThen(failWith(syscall.ECONNRESET)) }},
	{"closed, executed", 4, func(float64) injector { return executeThen(failWith(io.EOF)) }},
	{"reset within the response", 4, func(part float64) injector { return truncate(part, syscall.ECONNRESET) }},
	{"closed within the response", 4, func(part float64) injector { return truncate(part, io.ErrUnexpectedEOF) }},
	{"closed within the header of the response", 2, func(float64) injector { return executeThen(failWith(errHeaderCut)) }},
	{"slow response", 6, func(part float64) injector { return delayResponse(time.Duration(part * float64(200*time.Millisecond))) }},
	{"stalled, not executed", 1, func(float64) injector { return hang }},
	{"stalled, executed", 1, func(float64) injector { return executeThen(hang) }},
	{"executed after the client gave up", 2, func(part float64) injector { return executeLate(time.Duration(part * float64(2*time.Second))) }},
}

var errHeaderCut = errors.New("the header of the response was cut")

// draw returns the injector of the next call.
func (p *proxy) draw() injector {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.faulty {
		return (*call).send
	}
	sum := 0
	for _, f := range proxyFaults {
		sum += f.weight
	}
	n, i := p.random.IntN(sum), 0
	for n >= proxyFaults[i].weight {
		n -= proxyFaults[i].weight
		i++
	}
	p.counts[proxyFaults[i].name]++
	return proxyFaults[i].inject(p.random.Float64())
}

// RoundTrip implements [http.RoundTripper]: the database executes a call also
// when the client has given up.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
}

// ServeHTTP implements [http.Handler]. It forwards a request, and closes or
// resets the client's connection where that fails.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.active.Add(1)
	defer p.active.Done()
	failure := p.forward(w, r)
	if failure == nil {
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if errors.Is(failure, syscall.ECONNRESET) {
		conn.(*net.TCPConn).SetLinger(0) // Close sends a reset
	}
	if errors.Is(failure, errHeaderCut) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
	}
	conn.Close()
}

func (p *proxy) forward(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", p.database
	resp, err := p.draw()(&call{operation, body, out, p})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(w, resp.Body)
	return errors.Join(err, http.NewResponseController(w).Flush())
}

// setFaulty switches the faults on or off. Off, it waits for calls in flight.
func (p *proxy) setFaulty(faulty bool) {
	p.mu.Lock()
	p.faulty = faulty
	p.mu.Unlock()
	if !faulty {
		p.active.Wait()
	}
}
