package faults

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a real process and the engine and does to their sockets
// what a network does on a bad day.
type proxy struct {
	listener net.Listener
	engine   string       // its HOST:PORT
	calm     atomic.Bool  // nothing is done to new requests
	open     atomic.Int64 // connections to the process
	under    sync.WaitGroup

	mu     sync.Mutex
	chance *rand.Rand
	met    map[string]int // how many requests met each fault
}

// startProxy starts one that is calm.
func startProxy(t *testing.T, endpoint string, seed uint64) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, engine: strings.TrimPrefix(endpoint, "http://"), chance: rand.New(rand.NewPCG(seed, 7)), met: map[string]int{}}
	p.calm.Store(true)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the listener is closed
			}
			go p.carry(conn.(*net.TCPConn))
		}
	}()
	return p
}

func (p *proxy) endpoint() string { return "http://" + p.listener.Addr().String() }

// socketFaults are what can happen to a request, each with its weight.
var socketFaults = []struct {
	name   string
	weight int
}{
	{"", 150}, // nothing
	{"reset before the request", 4},
	{"reset within the request", 4},
	{"reset, done", 6},
	{"closed, done", 4},
	{"answer torn by a reset", 4},
	{"answer torn by an end", 4},
	{"answer slow", 6},
	{"stalled, not done", 1},
	{"stalled, done", 1},
	{"done long after it was given up", 2},
}

// draw draws what happens to the next request, and a part of one.
func (p *proxy) draw() (fault string, part float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calm.Load() {
		return "", 0
	}
	sum := 0
	for _, f := range socketFaults {
		sum += f.weight
	}
	n := p.chance.IntN(sum)
	for _, f := range socketFaults {
		if n -= f.weight; n < 0 {
			fault = f.name
			break
		}
	}
	p.met[fault]++
	return fault, p.chance.Float64()
}

// carry serves a connection of the process.
func (p *proxy) carry(conn *net.TCPConn) {
	p.open.Add(1)
	defer p.open.Add(-1)
	defer conn.Close()
	up, err := net.Dial("tcp", p.engine)
	if err != nil {
		return // the engine has ended
	}
	defer up.Close()
	var sent, said bytes.Buffer
	asks, answers := bufio.NewReader(io.TeeReader(conn, &sent)), bufio.NewReader(io.TeeReader(up, &said))
	for {
		r, err := http.ReadRequest(asks)
		if err != nil {
			return // the process has closed its side
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		ask := bytes.Clone(sent.Bytes())
		sent.Reset()
		execute := func() []byte {
			said.Reset()
			if _, err := up.Write(ask); err != nil {
				return nil
			}
			resp, err := http.ReadResponse(answers, r)
			if err != nil {
				return nil
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return nil
			}
			return said.Bytes()
		}
		if !p.suffer(conn, up, ask, execute) {
			return
		}
	}
}

// suffer carries one exchange, with what happens to it. It reports whether the
// connection can go on.
func (p *proxy) suffer(conn *net.TCPConn, up net.Conn, ask []byte, execute func() []byte) bool {
	p.under.Add(1)
	defer p.under.Done()
	fault, part := p.draw()
	reset := func() { conn.SetLinger(0) } // at its Close
	givenUp := func() { conn.Read(make([]byte, 1)) }
	switch fault {
	case "reset before the request":
		reset()
	case "reset within the request":
		up.Write(ask[:int(part*float64(len(ask)))])
		reset()
	case "reset, done":
		execute()
		reset()
	case "closed, done":
		execute()
	case "answer torn by a reset", "answer torn by an end":
		answer := execute()
		conn.Write(answer[:int(part*float64(len(answer)))])
		if fault == "answer torn by a reset" {
			reset()
		}
	case "stalled, not done":
		givenUp()
	case "stalled, done":
		execute()
		givenUp()
	case "done long after it was given up":
		givenUp()
		time.Sleep(time.Duration(part * float64(2*time.Second)))
		execute()
	default:
		answer := execute()
		if fault == "answer slow" {
			time.Sleep(time.Duration(part * float64(200*time.Millisecond)))
		}
		_, err := conn.Write(answer)
		return err == nil && answer != nil
	}
	return false
}

// rest lets what is under way come to its end, and nothing more happen.
func (p *proxy) rest() {
	p.calm.Store(true)
	p.under.Wait()
}
