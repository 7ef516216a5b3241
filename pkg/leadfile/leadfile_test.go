package leadfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// read returns the rows of a file as "line: JSON" or "line! error".
func read(t *testing.T, format leadfile.Format, file string) string {
	t.Helper()
	// One byte at a time, as a slow connection may deliver it.
	x, err := leadfile.NewReader(iotest.OneByteReader(strings.NewReader(file)), format, leadfile.Position{})
	if err != nil {
		return err.Error()
	}
	return readAll(t, x)
}

func readAll(t *testing.T, x *leadfile.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		row, err := x.Read()
		switch {
		case err == io.EOF:
			return b.String()
		case err != nil:
			t.Fatal(err)
		case row.Err != nil:
			fmt.Fprintf(&b, "%d! %s\n", row.Line, strings.SplitN(row.Err.Error(), ":", 2)[0])
		default:
			fmt.Fprintf(&b, "%d: %s\n", row.Line, row.JSON)
		}
	}
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", leadfile.MaxRow)
	for _, c := range []struct {
		name, file string
		format     leadfile.Format
		want       string
	}{
		{
			"reads NDJSON line by line", "{\"a\":1}\n\n \r\n{\"b\":2}\r\nnonsense", leadfile.NDJSON,
			"1: {\"a\":1}\n4: {\"b\":2}\n5: nonsense\n",
		},
		{"ignores a byte order mark", "\ufeff{}\n", leadfile.NDJSON, "1: {}\n"},
		{"reads no row from an empty file", "", leadfile.NDJSON, ""},
		{
			"reads CSV with a header", "\ufefflead_name,disabled,annual_revenue\r\nAda,TRUE,1e3\r\nBob,,\n,false,\n,,\n", leadfile.CSV,
			"2: {\"lead_name\":\"Ada\",\"disabled\":true,\"annual_revenue\":1e3}\n3: {\"lead_name\":\"Bob\"}\n4: {\"disabled\":false}\n",
		},
		{
			"keeps each byte of a quoted cell", "lead_name,city\n\"a, \"\"b\"\"\r\nc\",d\n\"\",e\n", leadfile.CSV,
			"2: {\"lead_name\":\"a, \\\"b\\\"\\r\\nc\",\"city\":\"d\"}\n4: {\"city\":\"e\"}\n",
		},
		{
			"keeps an invalid cell, which the create rejects", "disabled,annual_revenue\nyes,many\n", leadfile.CSV,
			"2: {\"disabled\":\"yes\",\"annual_revenue\":\"many\"}\n",
		},
		{
			"rejects only the row with another number of cells", "lead_name,city\na\nb,c\nd,e,f\n", leadfile.CSV,
			"2! the row has 1 cells and the header has 2\n3: {\"lead_name\":\"b\",\"city\":\"c\"}\n4! the row has 3 cells and the header has 2\n",
		},
		{
			"rejects only the line with an unclosed quote", "lead_name,city\n\"a,b\nc,d\ne,f\n", leadfile.CSV,
			"2! the row's quotes do not match\n3: {\"lead_name\":\"c\",\"city\":\"d\"}\n4: {\"lead_name\":\"e\",\"city\":\"f\"}\n",
		},
		{
			"rejects only the line with a quote inside a cell", "lead_name,city\n5\" pipe,b\nc,\"d\"\n", leadfile.CSV,
			"2! the row's quotes do not match\n3: {\"lead_name\":\"c\",\"city\":\"d\"}\n",
		},
		{"rejects text after a closing quote", "lead_name\n\"a\"b\n", leadfile.CSV, "2! the row's quotes do not match\n"},
		{
			"rejects a row that is not UTF-8", "lead_name\n\xff\nb\n", leadfile.CSV,
			"2! the row is not valid UTF-8\n3: {\"lead_name\":\"b\"}\n",
		},
		{
			"rejects only the line with an unclosed quote before invalid UTF-8", "lead_name\n\"a\n\xff\nb\n", leadfile.CSV,
			"2! the row's quotes do not match\n3! the row is not valid UTF-8\n4: {\"lead_name\":\"b\"}\n",
		},
		{"accepts the longest row", long + "\r\n{}", leadfile.NDJSON, "1: " + long + "\n2: {}\n"},
		{
			"rejects a row that is too long", long + "x\r\n{}\n" + strings.Repeat(long, 9) + "\n{}", leadfile.NDJSON,
			"1! the row is longer than 131072 bytes, or a quote in it is never closed\n2: {}\n3! the row is longer than 131072 bytes, or a quote in it is never closed\n4: {}\n",
		},
		{
			"rejects only the line with a quote that is closed too late", "lead_name\n\"a\nb\n" + strings.Repeat(long+"\n", 2), leadfile.CSV,
			"2! the row is longer than 131072 bytes, or a quote in it is never closed\n3: {\"lead_name\":\"b\"}\n" +
				"4: {\"lead_name\":\"" + long + "\"}\n5: {\"lead_name\":\"" + long + "\"}\n",
		},
		{
			"rejects an unknown column with its name", "lead_name,phon,zzzzzzzz\na,b,c\n", leadfile.CSV,
			`The header is not valid. Column "phon": No field has this name; did you mean phone? Column "zzzzzzzz": No field has this name; leave it out.`,
		},
		{"rejects a column that occurs twice", "city,city\n", leadfile.CSV, `The header is not valid. Name column "city" once.`},
		{
			"accepts the columns that only the server writes", "id,created_at,updated_at,city\n1,2,3,4\n", leadfile.CSV,
			"2: {\"id\":\"1\",\"created_at\":\"2\",\"updated_at\":\"3\",\"city\":\"4\"}\n",
		},
		{"rejects CSV with semicolons", "lead_name;city\nAda;Oslo\n", leadfile.CSV,
			"The first line must name the fields, separated by commas: save the file with commas, not with semicolons or tabs."},
		{"rejects CSV without a header", "", leadfile.CSV, "The file is empty: its first line must name the fields, separated by commas."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := read(t, c.format, c.file); got != c.want {
				t.Errorf("got\n%.500s\nwant\n%.500s", got, c.want)
			}
		})
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("connection reset")
	x, err := leadfile.NewReader(io.MultiReader(strings.NewReader("{}\n{"), iotest.ErrReader(broken)), leadfile.NDJSON, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if row, err := x.Read(); err != nil || row.Line != 1 {
		t.Fatalf("%v, %v", row, err)
	}
	if row, err := x.Read(); err != broken {
		t.Fatalf("%q, %v: want no row, because it is incomplete", row.JSON, err)
	}
}

// TestContinue checks that reading can continue at each position of a file, and
// that each cell is read as it was written.
func TestContinue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cell := rapid.StringOf(rapid.SampledFrom([]rune("ab ,\"\r\n;é")))
		want := rapid.SliceOf(rapid.SliceOfN(cell, 2, 2)).Draw(rt, "cells")
		var file bytes.Buffer
		file.WriteString("lead_name,city\r\n")
		for _, record := range want {
			for i, c := range record {
				if i > 0 {
					file.WriteByte(',')
				}
				fmt.Fprintf(&file, `"%s"`, strings.ReplaceAll(c, `"`, `""`))
			}
			file.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", "\n\n"}).Draw(rt, "end"))
		}
		x, err := leadfile.NewReader(bytes.NewReader(file.Bytes()), leadfile.CSV, leadfile.Position{})
		if err != nil {
			rt.Fatal(err)
		}
		for i, record := range want {
			if record[0] == "" && record[1] == "" {
				continue
			}
			// Encoded as JSON, as in a message.
			var from leadfile.Position
			text, _ := json.Marshal(x.Position())
			if err := json.Unmarshal(text, &from); err != nil {
				rt.Fatal(err)
			}
			again, err := leadfile.NewReader(bytes.NewReader(file.Bytes()[from.Offset:]), leadfile.CSV, from)
			if err != nil {
				rt.Fatal(err)
			}
			row, err := x.Read()
			other, otherErr := again.Read()
			if err != nil || otherErr != nil || row.Err != nil || row.Line != other.Line || !bytes.Equal(row.JSON, other.JSON) {
				rt.Fatalf("row %d: %+v, %v; after continuing: %+v, %v", i, row, err, other, otherErr)
			}
			var got struct {
				Name string `json:"lead_name"`
				City string `json:"city"`
			}
			if err := json.Unmarshal(row.JSON, &got); err != nil || got.Name != record[0] || got.City != record[1] {
				rt.Fatalf("row %d: %q, want %q", i, got, record)
			}
		}
		if row, err := x.Read(); err != io.EOF {
			rt.Fatalf("%+v, %v, want the end", row, err)
		}
	})
}

// TestReadMemory reads a file that is far larger than the memory it may use.
func TestReadMemory(t *testing.T) {
	const size = 64 << 20
	line := []byte(`{"lead_name":"Ada Lovelace","company_name":"Analytical Engines"}` + "\n")
	x, err := leadfile.NewReader(io.LimitReader(&repeater{line: line}, size), leadfile.NDJSON, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	n, most := 0, uint64(0)
	for {
		row, err := x.Read()
		if err == io.EOF {
			break
		} else if err != nil || row.Err != nil {
			t.Fatal(err, row.Err)
		}
		if n++; n%100_000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if n != (size+len(line)-1)/len(line) || most > size/8 {
		t.Errorf("%d rows, %d bytes of heap", n, most)
	}
}

type repeater struct {
	line []byte
	at   int
}

func (r *repeater) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], r.line[r.at:])
		n, r.at = n+c, (r.at+c)%len(r.line)
	}
	return n, nil
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]leadfile.Format{"a.csv": leadfile.CSV, "b/C.CSV": leadfile.CSV, "x.ndjson": leadfile.NDJSON, "x.jsonl": leadfile.NDJSON, "csv": 0, "a.xlsx": 0, "": 0} {
		if got, err := leadfile.FormatOf(name); got != want || (err == nil) != (want != 0) {
			t.Errorf("FormatOf(%q) = %v, %v", name, got, err)
		}
	}
}

// FuzzRead checks that a reader never fails and never hangs, counts lines right,
// and returns valid JSON.
func FuzzRead(f *testing.F) {
	f.Add([]byte("lead_name,city\n\"a\nb\",c\n"), true)
	f.Add([]byte("\xef\xbb\xbf{}\n"), false)
	f.Fuzz(func(t *testing.T, file []byte, isCSV bool) {
		format := leadfile.NDJSON
		if isCSV {
			format = leadfile.CSV
		}
		x, err := leadfile.NewReader(bytes.NewReader(file), format, leadfile.Position{})
		var header *leadfile.HeaderError
		if errors.As(err, &header) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for {
			before := x.Position()
			row, err := x.Read()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			after := x.Position()
			if after.Offset <= before.Offset || after.Lines != bytes.Count(file[:after.Offset], []byte("\n")) {
				t.Fatalf("from %+v to %+v", before, after)
			}
			if isCSV && row.Err == nil {
				if _, err := lead.ParseChanges(row.JSON); errors.As(err, new(*lead.SyntaxError)) {
					t.Fatalf("%q became %q: %v", row.Text, row.JSON, err)
				}
			}
		}
		if x.Position().Offset != int64(len(file)) {
			t.Fatalf("%d of %d bytes were read", x.Position().Offset, len(file))
		}
	})
}
