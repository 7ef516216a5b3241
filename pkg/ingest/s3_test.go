package ingest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/ingest"
)

func (w *world) put(key, etag, text string) string {
	w.files["b/"+key] = struct{ etag, text string }{etag, text}
	return records(s3Record("b", strings.ReplaceAll(key, " ", "+"), etag))
}

// drain delivers what is in the queue until nothing comes in its place.
func (w *world) drain(t *testing.T) {
	t.Helper()
	for i := 0; len(w.queue.sent) > 0; i++ {
		m := w.queue.sent[0]
		w.queue.sent = w.queue.sent[1:]
		w.wantFailed(t, records(again(fmt.Sprint("q", i), m)))
	}
}

// csvFile returns a file of n leads, n0 and on, and their names in order.
func csvFile(n int) (text string, names []string) {
	var b strings.Builder
	b.WriteString("lead_name,city\r\n")
	for i := range n {
		names = append(names, fmt.Sprintf("n%06d", i))
		fmt.Fprintf(&b, "%s,\"Paris,\r\nFrance\"\r\n", names[i])
	}
	return b.String(), names
}

func TestFiles(t *testing.T) {
	t.Run("become leads by way of the queue", func(t *testing.T) {
		w := newWorld(t)
		text, names := csvFile(1000)
		event := w.put("in/March 2026.csv", "e1", text)
		if _, failure := w.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		w.wantNames(t) // the file's own delivery makes none
		if len(w.queue.sent) != 11 {
			t.Errorf("%d messages for 1000 rows, want 11", len(w.queue.sent))
		}
		w.drain(t)
		w.wantNames(t, names...)
		w.wantDead(t)
	})
	t.Run("are taken once when they come twice and break off in between", func(t *testing.T) {
		w := newWorld(t)
		text, names := csvFile(1500)
		event := w.put("a.csv", "e1", text)
		w.queue.fault = func(n int) error {
			if n == 2 {
				return errors.New("SQS is away")
			}
			return nil
		}
		if _, failure := w.invoke(t, event); !strings.HasPrefix(failure, "internal") && !strings.HasPrefix(failure, "unavailable") {
			t.Fatalf("error %q, want one that makes Lambda try again", failure)
		}
		if len(w.queue.sent) != 10 {
			t.Fatalf("%d messages before the fault", len(w.queue.sent))
		}
		w.drain(t)
		for range 2 {
			if _, failure := w.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			w.drain(t)
		}
		w.wantNames(t, names...)
	})
	t.Run("that are replaced by the same content make no new leads and by another do", func(t *testing.T) {
		w := newWorld(t)
		for _, v := range []struct{ etag, text string }{{"e1", "a"}, {"e1", "a"}, {"e2", "b"}} {
			w.invoke(t, w.put("a.csv", v.etag, "lead_name\n"+v.text))
			w.drain(t)
		}
		w.wantNames(t, "a", "b")
	})
	t.Run("have rejected rows reported by line and hold up no other row", func(t *testing.T) {
		w := newWorld(t)
		event := w.put("a.csv", "e1", "lead_name,disabled\nAda,true\nBob,maybe\nEve\n\"x,\n\xff,\nZoe,FALSE\n")
		for range 2 {
			if _, failure := w.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			w.drain(t)
		}
		w.wantNames(t, "Ada", "Zoe")
		var lines []string
		for _, m := range w.dead.sent {
			lines = append(lines, m.Attributes["origin"]+": "+m.Body)
		}
		slices.Sort(lines)
		want := []string{"s3://b/a.csv line 3: {\"lead_name\":\"Bob\",\"disabled\":\"maybe\"}", "s3://b/a.csv line 4: Eve", "s3://b/a.csv line 5: \"x,", "s3://b/a.csv line 6: \ufffd,"}
		if !slices.Equal(lines, want) {
			t.Errorf("dead letters %q, want %q", lines, want)
		}
	})
	for outcome, c := range map[string]struct{ key, text, reason string }{
		"with a column that is no field are refused by its name": {"a.csv", "lead_name,phon\na,b\n", `Column "phon": No field has this name; did you mean phone?`},
		"of an unknown kind are refused":                         {"a.xlsx", "PK", ".csv, .ndjson or .jsonl"},
	} {
		t.Run(outcome, func(t *testing.T) {
			w := newWorld(t)
			event := w.put(c.key, "e1", c.text)
			for range 2 {
				if _, failure := w.invoke(t, event); failure != "" {
					t.Fatal(failure)
				}
			}
			if len(w.queue.sent) > 0 || len(w.dead.sent) != 1 || !strings.Contains(w.dead.sent[0].Attributes["reason"], c.reason) {
				t.Errorf("queue %d, dead letters %+v", len(w.queue.sent), w.dead.sent)
			}
		})
	}
	t.Run("that were replaced before they were read are put aside", func(t *testing.T) {
		w := newWorld(t)
		event := w.put("a.csv", "e1", "lead_name\na\n")
		w.put("a.csv", "e2", "lead_name\nb\n")
		if _, failure := w.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		if len(w.dead.sent) != 1 || len(w.queue.sent) > 0 {
			t.Errorf("queue %+v, dead letters %+v", w.queue.sent, w.dead.sent)
		}
	})
	t.Run("that are large are read on by another invocation, row by row once", func(t *testing.T) {
		w := newWorld(t)
		text, names := csvFile(250_000)
		if _, failure := w.invoke(t, w.put("a.csv", "e1", text)); failure != "" {
			t.Fatal(failure)
		}
		var invocations int
		seen := map[string]int{}
		for i := 0; i < len(w.queue.sent); i++ {
			m := w.queue.sent[i]
			if len(m.Body) > 256<<10 {
				t.Fatalf("a message of %d bytes", len(m.Body))
			}
			if m.Attributes["leads_content"] == "file" {
				invocations++
				w.wantFailed(t, records(again("q", m)))
				continue
			}
			for _, part := range strings.Split(m.Body, `lead_name\":\"`)[1:] {
				seen[part[:7]]++
			}
		}
		if invocations != 2 {
			t.Errorf("read on %d times, want 2", invocations)
		}
		for _, name := range names {
			if seen[name] != 1 {
				t.Fatalf("row %s is in the queue %d times", name, seen[name])
			}
		}
	})
	// A row is not known to be JSON before it is taken from the queue, and escaping
	// makes six characters of some.
	short, long := strings.Repeat("\x01", 1300), strings.Repeat("\x01", 127<<10)
	for outcome, text := range map[string]string{
		"of the longest rows fit what a queue takes":             strings.Repeat(`{"lead_name":"`+strings.Repeat(`\"`, 60_000)+"\"}\n", 30),
		"of short rows and a longest one fit what a queue takes": strings.Repeat(short+"\n", 97) + long + "\n",
	} {
		t.Run(outcome, func(t *testing.T) {
			w := newWorld(t)
			if _, failure := w.invoke(t, w.put("a.ndjson", "e1", text)); failure != "" {
				t.Fatal(failure)
			}
			for _, m := range w.queue.sent {
				if len(m.Body) > 1<<20-8192 {
					t.Errorf("a message of %d bytes", len(m.Body))
				}
			}
			w.drain(t)
			if rows := strings.Count(text, "\n"); len(w.dead.sent) != rows {
				t.Errorf("%d dead letters of %d rows", len(w.dead.sent), rows)
			}
		})
	}
	t.Run("cannot be forged badly enough to stop the queue", func(t *testing.T) {
		w := newWorld(t)
		for i, body := range []string{`{}x`, `{"file":{},"rows":7}`, `{"file":{"bucket":"b","key":"a.csv","etag":"e"},"from":{"offset":-1,"lines":0}}`} {
			for j, content := range []string{"rows", "file", "other"} {
				m := ingest.Message{Body: body, Attributes: map[string]string{"leads_content": content}}
				w.wantFailed(t, records(again(fmt.Sprint("m", i, j), m)))
			}
		}
		w.wantNames(t)
		if len(w.dead.sent) != 9 {
			t.Errorf("%d dead letters, want 9", len(w.dead.sent))
		}
	})
}
