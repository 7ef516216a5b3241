package ingest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/queue"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/fakeaws"
)

var rowsFlag = flag.Int("rows", 3000, "number `N` of rows of the file in TestLargeFile")

// generated is a CSV file with any number of rows, which are generated when they
// are read. Every thousandth row is invalid.
type generated struct{ rows, width int }

const generatedHeader = "lead_name,disabled,image\n"

func (g generated) row(i int) string {
	disabled := "false"
	if i%1000 == 999 {
		disabled = "maybe"
	}
	return fmt.Sprintf("n%08d,%s,%s\n", i, disabled, strings.Repeat("x", g.width))
}

func (g generated) rowSize() int { return len(g.row(0)) }

func (g generated) size() int64 { return int64(len(generatedHeader) + g.rows*g.rowSize()) }

func (g generated) ReadAt(p []byte, offset int64) (n int, err error) {
	size, rowSize := int(g.size()), g.rowSize()
	for n < len(p) {
		at := int(offset) + n
		if at >= size {
			return n, io.EOF
		}
		part := generatedHeader
		if at -= len(generatedHeader); at >= 0 {
			part = g.row(at / rowSize)[at%rowSize:]
		} else {
			part = part[len(part)+at:]
		}
		n += copy(p[n:], part)
	}
	return n, nil
}

// openLarge returns an ingester with fake AWS services, which have the file, and
// the event of its upload.
func openLarge(t *testing.T, table *dynamo.Table, g generated) (*ingest.Ingester, *fakeaws.Server, string) {
	t.Helper()
	in, server := open(t, table)
	server.Put(fakeaws.Object{Bucket: "b", Key: "large.csv", Version: "v1", ETag: "e1", Content: g, Size: g.size()})
	return in, server, strings.Replace(records(s3Record("b", "large.csv", "e1")), `"eTag"`, `"versionId":"v1","eTag"`, 1)
}

// heap returns the bytes of all objects in memory, garbage included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestLargeFileMemory splits a file of 50 MB. The function, and the fake services
// in the same process, may use only a small part of that.
func TestLargeFileMemory(t *testing.T) {
	const limit = 12 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // so that little garbage is counted
	g := generated{rows: 100_000, width: 490}
	table, _ := dynamotest.New(t)
	in, server, event := openLarge(t, table, g)
	var next []string // the messages that say where to continue
	rows, most := 0, uint64(0)
	server.Deliver = func(m fakeaws.Message) {
		if m.Attributes["leads_content"] == "file" {
			next = append(next, m.Body)
		}
		rows += strings.Count(m.Body, `{"line":`)
		most = max(most, heap())
	}
	before := heap()
	if _, err := in.Invoke(t.Context(), []byte(event)); err != nil {
		t.Fatal(err)
	}
	for ; len(next) > 0; next = next[1:] {
		m := queue.Message{Body: next[0], Attributes: map[string]string{"leads_content": "file"}}
		if answer, err := in.Invoke(t.Context(), []byte(records(delivered("m", m)))); err != nil || strings.Contains(string(answer), "itemIdentifier") {
			t.Fatalf("answer %s, error %v", answer, err)
		}
	}
	t.Logf("at most %d MB of memory", (most-before)>>20)
	if want := g.rows - g.rows/1000; rows != want { // every thousandth is rejected
		t.Errorf("%d rows are in the queue, want %d", rows, want)
	}
	if g.size() < 4*limit {
		t.Errorf("a file of %d bytes is too small for this test", g.size())
	}
	if most > before+limit {
		t.Errorf("%d MB of memory, want at most %d", (most-before)>>20, limit>>20)
	}
}

// spool is a queue on disk: a million rows would need much memory.
type spool struct {
	mu       sync.Mutex
	more     sync.Cond // signals a new message or the end of a batch
	file     *os.File
	sent     int
	read     *bufio.Reader
	received int
	busy     int // batches in progress, which may send more messages
}

func openSpool(t *testing.T) *spool {
	t.Helper()
	name := filepath.Join(t.TempDir(), "queue")
	w, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	s := &spool{file: w, read: bufio.NewReader(r)}
	s.more.L = &s.mu
	return s
}

func (s *spool) send(m fakeaws.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := json.Marshal(m)
	s.file.Write(append(text, '\n'))
	s.sent++
	s.more.Broadcast()
}

// receive returns up to ten messages as Lambda delivers them. It returns none if
// the queue is empty and no batch is in progress.
func (s *spool) receive() (batch []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.received == s.sent && s.busy > 0 {
		s.more.Wait()
	}
	s.busy++
	for len(batch) < 10 && s.received < s.sent {
		line, _ := s.read.ReadBytes('\n')
		var m fakeaws.Message
		json.Unmarshal(line, &m)
		s.received++
		batch = append(batch, delivered(fmt.Sprint("q", s.received), queue.Message{Body: m.Body, Attributes: m.Attributes}))
	}
	return batch
}

// done ends a batch that receive returned.
func (s *spool) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.more.Broadcast()
}

type crash struct{}

// TestLargeFile creates leads from a file, through S3 and SQS. Functions crash,
// answers of the database are lost, and rows are in the queue twice, but each row
// must become one lead. With a million rows:
//
//	go test ./pkg/ingest -run TestLargeFile$ -rows 1000000 -timeout 1h -v
func TestLargeFile(t *testing.T) {
	g := generated{rows: *rowsFlag, width: 60}
	client, meter := dynamotest.Start(t)
	table := dynamo.New(client, dynamotest.TableName)
	in, server, event := openLarge(t, table, g)
	queue := openSpool(t)
	server.Deliver = queue.send

	var mu sync.Mutex
	random := rand.New(rand.NewPCG(11, 11))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	crashes, most := 0, uint64(0)
	// The function crashes at one of 25 requests, before or after the write.
	meter.Fault = func(_ string, r *http.Request, send http.RoundTripper) (*http.Response, error) {
		end, _ := r.Context().Value(crash{}).(context.CancelFunc)
		dice := draw(50)
		if end == nil || dice > 1 {
			return send.RoundTrip(r)
		}
		if dice == 1 {
			if resp, err := send.RoundTrip(r); err == nil {
				resp.Body.Close()
			}
		}
		end()
		return nil, errors.New("connection reset")
	}
	// deliver retries until the function answers, as Lambda does.
	deliver := func(event string) string {
		for attempt := 0; ; attempt++ {
			ctx, end := context.WithCancel(t.Context())
			if attempt < 3 {
				ctx = context.WithValue(ctx, crash{}, end)
			}
			answer, err := in.Invoke(ctx, []byte(event))
			crashed := ctx.Err() != nil
			end()
			mu.Lock()
			most = max(most, heap())
			if crashed || err != nil {
				crashes++
			}
			mu.Unlock()
			if !crashed && err == nil {
				return string(answer)
			}
			if attempt > 5 {
				t.Errorf("the function failed in each attempt: %v", err)
				return ""
			}
		}
	}

	begun := time.Now()
	// The invocation for the file fails after it has sent some rows.
	left := 2
	server.Fault = func(fakeaws.Call) bool { left--; return left == 0 }
	deliver(event)
	if crashes != 1 {
		t.Errorf("the invocation for the file failed %d times, want once", crashes)
	}
	t.Logf("the first part of %d MB is in the queue after %.1f s: %d messages", g.size()>>20, time.Since(begun).Seconds(), queue.sent)

	begun = time.Now()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			defer queue.done() // of the empty batch
			for batch := queue.receive(); len(batch) > 0; batch = queue.receive() {
				if answer := deliver(records(batch...)); answer != `{"batchItemFailures":[]}` {
					t.Errorf("answer %s", answer)
				}
				queue.done()
			}
		})
	}
	workers.Wait()
	took := time.Since(begun)
	t.Logf("%d rows became leads in %.0f s, %.0f per second; %d invocations crashed; at most %d MB of memory", g.rows, took.Seconds(), float64(g.rows)/took.Seconds(), crashes, most>>20)

	meter.Fault = nil
	seen := make([]bool, g.rows)
	leads := 0
	for l, err := range table.All(t.Context(), in.Tenant) {
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscanf(fmt.Sprint(l.Values[0]), "n%d", &i); err != nil || seen[i] || i%1000 == 999 {
			t.Fatalf("the lead %v exists twice, or should not exist (%v)", l.Values[0], err)
		}
		seen[i] = true
		leads++
	}
	bad := g.rows / 1000
	if page, err := table.List(t.Context(), in.Tenant, lead.ListQuery{Limit: 1}); err != nil || int(page.Total) != g.rows-bad || leads != g.rows-bad {
		t.Errorf("%d leads, the total is %d, want %d (%v)", leads, page.Total, g.rows-bad, err)
	}
	if len(server.Messages) != bad || bad == 0 || !strings.Contains(server.Messages[0].Attributes["origin"], "large.csv line ") {
		t.Errorf("the DLQ has %d messages, want %d", len(server.Messages), bad)
	}
	if crashes < 2 {
		t.Errorf("%d invocations crashed, too few for a test", crashes)
	}
}
