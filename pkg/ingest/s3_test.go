package ingest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"overplane.dev/leads/pkg/queue"
)

func (f *fixture) put(key, etag, text string) string {
	f.files["b/"+key] = object{etag: etag, text: text}
	return records(s3Record("b", strings.ReplaceAll(key, " ", "+"), etag))
}

// deliverQueue delivers the messages of the queue until it is empty.
func (f *fixture) deliverQueue(t *testing.T) {
	t.Helper()
	for i := 0; len(f.queue.sent) > 0; i++ {
		m := f.queue.sent[0]
		f.queue.sent = f.queue.sent[1:]
		f.wantFailed(t, records(delivered(fmt.Sprint("q", i), m)))
	}
}

// csvFile returns a file with n leads and their names.
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
	t.Run("become leads through the queue", func(t *testing.T) {
		f := newFixture(t)
		text, names := csvFile(1000)
		event := f.put("in/March 2026.csv", "e1", text)
		if _, failure := f.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		f.wantNames(t) // the invocation for the file creates none
		if len(f.queue.sent) != 11 {
			t.Errorf("%d messages for 1000 rows, want 11", len(f.queue.sent))
		}
		f.deliverQueue(t)
		f.wantNames(t, names...)
		f.wantDLQ(t)
	})
	t.Run("become leads once after an error and a second delivery", func(t *testing.T) {
		f := newFixture(t)
		text, names := csvFile(1500)
		event := f.put("a.csv", "e1", text)
		f.queue.fault = func(n int) error {
			if n == 2 {
				return errors.New("SQS is not available")
			}
			return nil
		}
		if _, failure := f.invoke(t, event); !strings.HasPrefix(failure, "internal") && !strings.HasPrefix(failure, "unavailable") {
			t.Fatalf("error %q, want an error that makes Lambda retry", failure)
		}
		if len(f.queue.sent) != 10 {
			t.Fatalf("%d messages before the fault", len(f.queue.sent))
		}
		f.deliverQueue(t)
		for range 2 {
			if _, failure := f.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			f.deliverQueue(t)
		}
		f.wantNames(t, names...)
	})
	t.Run("create new leads only if their content changed", func(t *testing.T) {
		f := newFixture(t)
		for _, v := range []struct{ etag, text string }{{"e1", "a"}, {"e1", "a"}, {"e2", "b"}} {
			f.invoke(t, f.put("a.csv", v.etag, "lead_name\n"+v.text))
			f.deliverQueue(t)
		}
		f.wantNames(t, "a", "b")
	})
	t.Run("with invalid rows report each by line and import the others", func(t *testing.T) {
		f := newFixture(t)
		event := f.put("a.csv", "e1", "lead_name,disabled\nAda,true\nBob,maybe\nEve,no,Oslo\n\"x,\n\xff,\nZoe,FALSE\n")
		for range 2 {
			if _, failure := f.invoke(t, event); failure != "" {
				t.Fatal(failure)
			}
			f.deliverQueue(t)
		}
		f.wantNames(t, "Ada", "Zoe")
		var lines []string
		for _, m := range f.dlq.sent {
			lines = append(lines, m.Attributes["origin"]+": "+m.Body)
		}
		slices.Sort(lines)
		want := []string{"s3://b/a.csv line 3: {\"lead_name\":\"Bob\",\"disabled\":\"maybe\"}", "s3://b/a.csv line 4: Eve,no,Oslo", "s3://b/a.csv line 5: \"x,", "s3://b/a.csv line 6: \ufffd,"}
		if !slices.Equal(lines, want) {
			t.Errorf("the DLQ has %q, want %q", lines, want)
		}
		wantFile := "\ufefflead_name,disabled,Rejected because\n" +
			"Bob,maybe,\"Column \"\"disabled\"\": \"\"maybe\"\" is neither yes nor no. Correct the cell or leave it empty.\"\n" +
			"Eve,no,This row is not valid: it has 3 cells and the header has 2: put a cell that contains a separator or a line break in quotes.,Oslo\n" +
			"\"\"\"x,\",,\"This row is not valid: its quotes do not match: put a cell that contains quotes in quotes, and double the quotes inside it.\"\n" +
			"\ufffd,,\"This row is not valid: it contains a character that is not in the encoding of the file: save the file as UTF-8, or give its encoding.\"\n"
		if got := f.files["b/rejected/a.csv.3.rejected.csv"].text; got != wantFile {
			t.Errorf("rejected rows:\n%s\nwant\n%s", got, wantFile)
		}
	})
	for name, c := range map[string]struct{ key, text, reason string }{
		"with an unknown column are rejected with the decision to make": {"a.csv", "lead_name,phon\na,b\n", "Upload mapping.json into the same folder with what each becomes, " +
			"then upload the file again; a column without a field is left out:\n{\"map\":{\"phon\":\"phone\"}}\nOr write {\"skip_unknown\":true} to leave out all of them.\n\n" +
			"COLUMN     BECOMES    FIRST VALUES\nlead_name  lead_name  a\nphon       left out?  b\n"},
		"that are workbooks are rejected": {"a.xlsx", "PK\x03\x04[Content_Types].xml", "The file is an Excel workbook, which only leads import can read: use that, or save it as CSV UTF-8."},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			event := f.put(c.key, "e1", c.text)
			for range 2 {
				if _, failure := f.invoke(t, event); failure != "" {
					t.Fatal(failure)
				}
			}
			if len(f.queue.sent) > 0 || len(f.dlq.sent) != 1 || !strings.Contains(f.dlq.sent[0].Attributes["reason"], c.reason) {
				t.Errorf("queue %d, DLQ %+v", len(f.queue.sent), f.dlq.sent)
			}
		})
	}
	t.Run("in UTF-16 with the columns of an exporter become leads by the settings in their folder", func(t *testing.T) {
		f := newFixture(t)
		f.put("in/mapping.json", "m", `{"map":{"Notes":"","Column of another file":"city"},"decimal":"comma"}`)
		f.put("mapping.json", "m", `{"skip_unknown":true}`)
		var text []byte
		for _, unit := range utf16.Encode([]rune("\ufeffNotes:\r\nFull Name\tNotes\tAnnual Revenue\r\n" + strings.Repeat("Łukasz\tx\t1.250\r\n", 100_000))) {
			text = binary.LittleEndian.AppendUint16(text, unit)
		}
		if _, failure := f.invoke(t, f.put("in/a.txt", "e1", string(text))); failure != "" {
			t.Fatal(failure)
		}
		rows := 0
		for len(f.queue.sent) > 0 {
			m := f.queue.sent[0]
			f.queue.sent = f.queue.sent[1:]
			rows += strings.Count(m.Body, `{\"lead_name\":\"Łukasz\",\"annual_revenue\":1250}`)
			if m.Attributes["leads_content"] == "file" {
				f.wantFailed(t, records(delivered("q", m)))
			}
		}
		if f.wantDLQ(t); rows != 100_000 {
			t.Errorf("%d rows", rows)
		}
	})
	t.Run("become leads by the settings in their metadata rather than those in their folder", func(t *testing.T) {
		f := newFixture(t)
		f.put("mapping.json", "m", `{"map":{"Contact":"company_name"}}`)
		event := f.put("a.ndjson", "e1", `{"Contact":{"Name":"Ada"},"Note":7}`)
		f.files["b/a.ndjson"] = object{etag: "e1", text: f.files["b/a.ndjson"].text, mapping: `{"map":{"Contact.Name":"lead_name","Note":""}}`}
		if _, failure := f.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		f.deliverQueue(t)
		f.wantNames(t, "Ada")
		f.wantDLQ(t)
	})
	t.Run("with settings that are not valid are rejected", func(t *testing.T) {
		f := newFixture(t)
		f.put("mapping.json", "m", `{"maps":{}}`)
		if _, failure := f.invoke(t, f.put("a.csv", "e1", "city\nx\n")); failure != "" {
			t.Fatal(failure)
		}
		if len(f.dlq.sent) != 1 || !strings.HasPrefix(f.dlq.sent[0].Attributes["reason"], "The settings in s3://b/mapping.json are not valid: json: unknown field") {
			t.Errorf("DLQ %+v", f.dlq.sent)
		}
	})
	t.Run("that have no leads by their names are ignored", func(t *testing.T) {
		f := newFixture(t)
		for _, key := range []string{"in/", "in_$folder$", "in/_SUCCESS", "_committed_1", ".DS_Store", "in/mapping.json", "rejected/a.csv.3.rejected.csv"} {
			if _, failure := f.invoke(t, f.put(key, "e1", "")); failure != "" {
				t.Fatal(failure)
			}
		}
		f.wantNames(t)
		f.wantDLQ(t)
	})
	t.Run("with many rejected rows have files with them of limited size", func(t *testing.T) {
		f := newFixture(t)
		if _, failure := f.invoke(t, f.put("a.csv", "e1", "email_id,city\n"+strings.Repeat(strings.Repeat("x", 2000)+",a\n", 900))); failure != "" {
			t.Fatal(failure)
		}
		rows := 0
		for key, file := range f.files {
			if strings.HasPrefix(key, "b/rejected/") {
				if rows += strings.Count(file.text, ",a,"); len(file.text) > 2<<20 {
					t.Errorf("%s has %d bytes", key, len(file.text))
				}
			}
		}
		if rows != 900 || len(f.dlq.sent) != 900 {
			t.Errorf("%d rejected rows, %d in the DLQ, want 900", rows, len(f.dlq.sent))
		}
	})
	t.Run("that were replaced before they were read are rejected", func(t *testing.T) {
		f := newFixture(t)
		event := f.put("a.csv", "e1", "lead_name\na\n")
		f.put("a.csv", "e2", "lead_name\nb\n")
		if _, failure := f.invoke(t, event); failure != "" {
			t.Fatal(failure)
		}
		if len(f.dlq.sent) != 1 || len(f.queue.sent) > 0 {
			t.Errorf("queue %+v, DLQ %+v", f.queue.sent, f.dlq.sent)
		}
	})
	t.Run("that are large take several invocations, and each row is sent once", func(t *testing.T) {
		f := newFixture(t)
		text, names := csvFile(250_000)
		if _, failure := f.invoke(t, f.put("a.csv", "e1", text)); failure != "" {
			t.Fatal(failure)
		}
		var invocations int
		seen := map[string]int{}
		for i := 0; i < len(f.queue.sent); i++ {
			m := f.queue.sent[i]
			if len(m.Body) > 256<<10 {
				t.Fatalf("a message of %d bytes", len(m.Body))
			}
			if m.Attributes["leads_content"] == "file" {
				invocations++
				f.wantFailed(t, records(delivered("q", m)))
				continue
			}
			for _, part := range strings.Split(m.Body, `lead_name\":\"`)[1:] {
				seen[part[:7]]++
			}
		}
		if invocations != 2 {
			t.Errorf("continued %d times, want 2", invocations)
		}
		for _, name := range names {
			if seen[name] != 1 {
				t.Fatalf("row %s is in the queue %d times", name, seen[name])
			}
		}
	})
	// A row of NDJSON is sent even if it is not JSON, and encoding makes six
	// characters of some.
	short, long := strings.Repeat("\x01", 1300), strings.Repeat("\x01", 127<<10)
	for name, text := range map[string]string{
		"with the longest rows become messages that SQS accepts": strings.Repeat(`{"lead_name":"`+strings.Repeat(`\"`, 60_000)+"\"}\n", 30),
		"with short rows and a longest row do too":               strings.Repeat(short+"\n", 97) + long + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if _, failure := f.invoke(t, f.put("a.ndjson", "e1", text)); failure != "" {
				t.Fatal(failure)
			}
			for _, m := range f.queue.sent {
				if len(m.Body) > 1<<20-8192 {
					t.Errorf("a message of %d bytes", len(m.Body))
				}
			}
			f.deliverQueue(t)
			if rows := strings.Count(text, "\n"); len(f.dlq.sent) != rows {
				t.Errorf("the DLQ has %d messages for %d rows", len(f.dlq.sent), rows)
			}
		})
	}
	t.Run("that somebody forged do not stop the queue", func(t *testing.T) {
		f := newFixture(t)
		bodies := []string{
			`{}x`, `{"file":{},"rows":7}`, `{"file":{"bucket":"b","key":"a.csv","etag":"e"},"from":{"offset":-1,"lines":0}}`,
			`{"file":{},"rows":[],"rows":[]}`, `{"file":{},"rows":[{"line":1,"lead":"{\"lead_name\":\"\ud800\"}"}]}`,
		}
		for i, body := range bodies {
			for j, content := range []string{"rows", "file", "other"} {
				m := queue.Message{Body: body, Attributes: map[string]string{"leads_content": content}}
				f.wantFailed(t, records(delivered(fmt.Sprint("m", i, j), m)))
			}
		}
		f.wantNames(t)
		if len(f.dlq.sent) != 3*len(bodies) {
			t.Errorf("the DLQ has %d messages, want %d", len(f.dlq.sent), 3*len(bodies))
		}
	})
}
