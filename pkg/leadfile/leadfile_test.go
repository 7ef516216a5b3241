package leadfile_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// read returns the rows of a file as "line: JSON" or "line! error".
func read(t *testing.T, name, file string, s leadfile.Settings) string {
	t.Helper()
	// One byte at a time, as a slow connection may deliver it.
	x, err := leadfile.NewReader(iotest.OneByteReader(strings.NewReader(file)), name, s, leadfile.Position{})
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
			reason := strings.TrimPrefix(row.Err.Error(), "This row is not valid: ")
			fmt.Fprintf(&b, "%d! %s\n", row.Line, strings.SplitN(reason, ": ", 2)[0])
		default:
			fmt.Fprintf(&b, "%d: %s\n", row.Line, row.JSON)
		}
	}
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", leadfile.MaxRow)
	cell := strings.Repeat("x", leadfile.MaxRow-1)
	padded := "{}" + strings.Repeat(" ", leadfile.MaxRow-2)
	for _, c := range []struct {
		name, file string
		format     string // of the name
		want       string
	}{
		{
			"reads NDJSON line by line", "{\"city\":\"a\"}\n\n \r\n{\"city\":\"b\"}\r\nnonsense", ".ndjson",
			"1: {\"city\":\"a\"}\n4: {\"city\":\"b\"}\n5! The body is not valid\n",
		},
		{"ignores a byte order mark", "\ufeff{}\n", ".ndjson", "1: {}\n"},
		{"reads no row from an empty file", "", ".ndjson", ""},
		{"recognises NDJSON without a name", " {}\n{}", "", "1:  {}\n2: {}\n"},
		{
			"reads a JSON array", "[\n {\"city\":\"a}]\\\"\"},\n\n {\"city\":\n\"b\"}, {}\n]\n", ".json",
			"2: {\"city\":\"a}]\\\"\"}\n4: {\"city\":\n\"b\"}\n5: {}\n",
		},
		{"reads an empty JSON array", "[ ]", "", ""},
		{
			"reads the members of an exporter, and objects inside objects", `{"id":"5","properties":{"email":" a@b.example ","jobtitle":null,"annualrevenue":"1,250,000","phone":4770}}` + "\n\n" +
				`{"properties":{"email":"","annualrevenue":1.250}}` + "\n", ".ndjson",
			"1: {\"annual_revenue\":1250000,\"email_id\":\"a@b.example\",\"phone\":\"4770\"}\n3: {\"annual_revenue\":1.250}\n",
		},
		{
			"rejects in JSON what is no value of a field", `[{"Email":["a"]},{"Email":"x"},7,{"Email":"a@b.example","City":{"x":1}},` +
				strings.Repeat("{},", sampled) + `{"Email":"a@b.example","Town":"x"},{"Email":"c@d.example","Town":""}]`, ".json",
			"1! Column \"Email\"\n1! Column \"Email\"\n1! it is not a JSON object.\n1: {\"email_id\":\"a@b.example\"}\n" +
				"1! it has the member \"Town\", which no object at the beginning of the file has\n1: {\"email_id\":\"c@d.example\"}\n",
		},
		{"reads one object in several lines", "{\n  \"Email\": \"a@b.example\",\n  \"City\": \"x\"\n}\n", ".json", "1: {\"city\":\"x\",\"email_id\":\"a@b.example\"}\n"},
		{
			"keeps the values of JSON with the names of fields that was rejected before", `{"city":" x ","phone":"","Rejected because":"y"}` + "\n{\"city\":7}\n{\"disabled\":\"true\"}", ".ndjson",
			"1: {\"city\":\" x \",\"phone\":\"\"}\n2! Send a JSON string for city, or null.\n3! Send true or false for disabled, or null.\n",
		},
		{
			"rejects what is no object in a JSON array", "[{},7,{\"city\":{}},[]]", ".json",
			"1: {}\n1! The body is not valid\n1! Send a JSON string for city, or null.\n",
		},
		{"rejects a JSON array that ends too early", "[{},{\"city\":", "", "1: {}\n1! The body is not valid\n"},
		{
			"reads CSV with a header", "\ufefflead_name,disabled,annual_revenue\r\nAda,TRUE,1e3\r\nBob,,\n,false,\n,,\n", ".csv",
			"2: {\"lead_name\":\"Ada\",\"disabled\":true,\"annual_revenue\":1e3}\n3: {\"lead_name\":\"Bob\"}\n4: {\"disabled\":false}\n",
		},
		{
			"keeps each byte of a quoted cell", "lead_name,city\n\"a, \"\"b\"\"\r\nc\",d\n,e\n", ".csv",
			"2: {\"lead_name\":\"a, \\\"b\\\"\\r\\nc\",\"city\":\"d\"}\n4: {\"city\":\"e\"}\n",
		},
		{
			"tells an empty text from an empty cell in a file with the names of fields", "lead_name,city,disabled\n\"\",,\"\"\n", ".csv",
			"2: {\"lead_name\":\"\"}\n",
		},
		{"takes an empty text for an empty cell if everything is in quotes", "\"lead_name\",\"city\"\n\"a\",\"\"\n", ".csv", "2: {\"lead_name\":\"a\"}\n"},
		{"takes an empty text for an empty cell in other files", "Full Name,City\n\"a\",\"\"\n", ".csv", "2: {\"lead_name\":\"a\"}\n"},
		{
			"fills a short row, and rejects only a row with too many cells", "lead_name,city\na\nb,c,\nd,e,f\n", ".csv",
			"2: {\"lead_name\":\"a\"}\n3: {\"lead_name\":\"b\",\"city\":\"c\"}\n4! it has 3 cells and the header has 2\n",
		},
		{
			"drops a column without a name, and rejects only a row that uses it", "lead_name,,\n" + strings.Repeat("a,,\n", 20_000) + "b,,c\nd\n", ".csv",
			func() (want string) {
				for i := range 20_000 {
					want += fmt.Sprintf("%d: {\"lead_name\":\"a\"}\n", i+2)
				}
				return want + "20002! its cell 3 is in a column without a name\n20003: {\"lead_name\":\"d\"}\n"
			}(),
		},
		{
			"rejects only the line with an unclosed quote", "lead_name,city\n\"a,b\nc,d\ne,f\n", ".csv",
			"2! its quotes do not match\n3: {\"lead_name\":\"c\",\"city\":\"d\"}\n4: {\"lead_name\":\"e\",\"city\":\"f\"}\n",
		},
		{
			"rejects the lines that may be the rest of a row with an unclosed quote", "lead_name,city\nAda,\"she said \"hello\"\nand left\"\nand then\nEve,x\nZoe\n", ".csv",
			"2! its quotes do not match\n3! its quotes do not match\n" +
				"4! it has fewer cells than the header and may be the rest of a row above, whose quotes do not match\n" +
				"5: {\"lead_name\":\"Eve\",\"city\":\"x\"}\n6: {\"lead_name\":\"Zoe\"}\n",
		},
		{"reads cells in quotes with spaces around them", "Full Name, City\n\"Ada\" , \"Oslo, Norway\"\n", ".csv", "2: {\"lead_name\":\"Ada\",\"city\":\"Oslo, Norway\"}\n"},
		{
			"rejects a header that is repeated, and removes byte order marks of joined files", "Full Name,City\nAda,x\n\ufeffFull Name,City\n\ufeffBob,\n", ".csv",
			"2: {\"lead_name\":\"Ada\",\"city\":\"x\"}\n3! it repeats the header\n4: {\"lead_name\":\"Bob\"}\n",
		},
		{"rejects a row without a value for a field", "Full Name,Notes\n,x\n", ".csv", "2! all its cells are in columns that are left out\n"},
		{"rejects a list without a header", "Name,a@b.example\n", ".csv", "The first line must name the columns, but it has the e-mail address a@b.example: add a line with names, such as Name and Email."},
		{"reads UTF-16 in another script without a byte order mark", utf16File("Full Name,City\n"+strings.Repeat("Иван Петров,Москва\n", 9), false), "", strings.Join(repeatLines(9), "")},
		{"names UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", ".csv", "The file is in UTF-32: save it as UTF-8."},
		{
			"rejects only the line with a quote inside a cell", "lead_name,city\n5\" pipe,b\nc,\"d\"\n", ".csv",
			"2! its quotes do not match\n3: {\"lead_name\":\"c\",\"city\":\"d\"}\n",
		},
		{"rejects text after a closing quote", "lead_name\n\"a\"b\n", ".csv", "2! its quotes do not match\n"},
		{
			"rejects a row that is not UTF-8", "lead_name\n\xff\nb\n", ".csv",
			"2! it contains a character that is not in the encoding of the file\n3: {\"lead_name\":\"b\"}\n",
		},
		{
			"rejects only the line with an unclosed quote before invalid UTF-8", "lead_name\n\"a\n\xff\nb\n", ".csv",
			"2! its quotes do not match\n3! it contains a character that is not in the encoding of the file\n4: {\"lead_name\":\"b\"}\n",
		},
		{"accepts the longest row", padded + "\r\n{}", ".ndjson", "1: " + padded + "\n2: {}\n"},
		{
			"rejects a row that is too long", long + "x\r\n{}\n" + strings.Repeat(long, 9) + "\n{}", ".ndjson",
			"1! it is longer than 131072 bytes, or a quote in it is never closed\n2: {}\n3! it is longer than 131072 bytes, or a quote in it is never closed\n4: {}\n",
		},
		{
			"rejects only the line with a quote that is closed too late", "lead_name,image\n\"a\nb\n" + strings.Repeat(","+cell+"\n", 2), ".csv",
			"2! it is longer than 131072 bytes, or a quote in it is never closed\n" +
				"3! it has fewer cells than the header and may be the rest of a row above, whose quotes do not match\n" +
				"4! Column \"image\"\n5! Column \"image\"\n",
		},
		{
			"leaves out the columns that only the server writes", "id,created_at,updated_at,city\n1,2,3,4\n", ".csv",
			"2: {\"city\":\"4\"}\n",
		},
		{"reads CSV with semicolons", "lead_name;city\nAda;Oslo, Norway\n", ".csv", "2: {\"lead_name\":\"Ada\",\"city\":\"Oslo, Norway\"}\n"},
		{"reads CSV with tabs", "Foo\tBar\tcity\na\tb, c, d\te\n", ".csv", "2: {\"city\":\"e\"}\n"},
		{"reads CSV with vertical bars", "lead_name|city\nAda|Oslo\n", ".txt", "2: {\"lead_name\":\"Ada\",\"city\":\"Oslo\"}\n"},
		{"reads the separator from the first line", "sep=^\r\nlead_name^city\r\nAda^Oslo\r\n", ".csv", "3: {\"lead_name\":\"Ada\",\"city\":\"Oslo\"}\n"},
		{
			"reads the line ends of an old Mac", "lead_name,city\r\"Ada\nB\",Oslo\r\rBob\r", ".csv",
			"2: {\"lead_name\":\"Ada\\nB\",\"city\":\"Oslo\"}\n4: {\"lead_name\":\"Bob\"}\n",
		},
		{
			"skips lines before the header", "Notes:\nleads of the fair, in spring\n\nFull Name,City\nAda,Oslo\n", ".csv",
			"5: {\"lead_name\":\"Ada\",\"city\":\"Oslo\"}\n",
		},
		{"reads UTF-16 with a byte order mark", utf16File("\ufefflead_name\tcity\r\nÊnal\tŁódź 🏢\r\n", false), "", "2: {\"lead_name\":\"Ênal\",\"city\":\"Łódź 🏢\"}\n"},
		{"reads UTF-16, big endian, without a byte order mark", utf16File("lead_name,city\nAda,Oslo\n", true), "", "2: {\"lead_name\":\"Ada\",\"city\":\"Oslo\"}\n"},
		{"reads NDJSON in UTF-16", utf16File("{\"city\":\"é\"}\n", false), ".ndjson", "1: {\"city\":\"é\"}\n"},
		{"rejects CSV without a header", "", ".csv", "The file is empty: its first line must name the columns."},
		{"rejects CSV with only a byte order mark", "\ufeff", ".csv", "The file is empty: its first line must name the columns."},
		{"rejects CSV with only empty cells", "\n,,\n", ".csv", "The file has no header that can be read: its first line must name the columns. Check its quotes."},
		{"rejects CSV with an unclosed quote in the header", "\"City,Phone\na,b\n", ".csv", "The file has no header that can be read: its first line must name the columns. Check its quotes."},
		{"reads CSV with only a header", "City", ".csv", ""},
		{"names a PDF document", "%PDF-1.7\n", ".csv", "The file is a PDF document: export CSV instead."},
		{"names a web page", " <!DOCTYPE html><html>", ".csv", "The file is a web page (HTML): open it in a spreadsheet and save it as CSV."},
		{"names an XML document", "<?xml version=\"1.0\"?><a/>", ".csv", "The file is an XML document: export CSV instead."},
		{"names an archive", "PK\x03\x04\x14\x00a.csv", ".csv", "The file is an archive (zip): unpack it first."},
		{"names a gzip file", "\x1f\x8b\x08abc", ".csv", "The file is an archive (x-gzip): unpack it first."},
		{"names an old workbook", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls", "The file is an old Excel workbook (.xls) or one with a password: save it as .xlsx without a password, or as CSV UTF-8."},
		{"names a workbook", "PK\x03\x04\x14\x00[Content_Types].xml", ".xlsx", "The file is an Excel workbook, which only leads import can read: use that, or save it as CSV UTF-8."},
		{"names an image", "\x89PNG\r\n\x1a\n", ".csv", "The file is a file of the type image/png."},
		{"names other binary files", "abc\x00\x01def", ".csv", "The file is not a text file, because it contains zero bytes: export CSV instead."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := read(t, "leads"+c.format, c.file, leadfile.Settings{}); got != c.want {
				t.Errorf("got\n%.500s\nwant\n%.500s", got, c.want)
			}
		})
	}
}

// sampled has more objects than are read to find the columns.
const sampled = 30_000

func repeatLines(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("%d: {\"lead_name\":\"Иван Петров\",\"city\":\"Москва\"}\n", i+2))
	}
	return lines
}

// utf16File returns a text in UTF-16.
func utf16File(text string, bigEndian bool) string {
	var order binary.AppendByteOrder = binary.LittleEndian
	if bigEndian {
		order = binary.BigEndian
	}
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestEncodings(t *testing.T) {
	encode := func(e encoding.Encoding, text string) string {
		encoded, err := e.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	for _, c := range []struct {
		likely   string
		encoding encoding.Encoding
		name     string
	}{
		{"shift_jis", japanese.ShiftJIS, "山田太郎"},
		{"shift_jis", japanese.ShiftJIS, "ヤマダ タロウ"},
		{"gbk, big5 or euc-kr", simplifiedchinese.GBK, "李小明,上海 浦东新区 世纪大道"},
		{"gbk, big5 or euc-kr", korean.EUCKR, "김철수,서울특별시"},
		{"windows-1252", charmap.Windows1252, "José Núñez"},
		{"windows-1252", charmap.Windows1252, "François Müller"},
		{"windows-1250", charmap.Windows1250, "Michał Wójcik"},
		{"windows-1251", charmap.Windows1251, "Иван Петров"},
		{"macintosh", charmap.Macintosh, "José Núñez"},
	} {
		file := encode(c.encoding, "lead_name,city\n"+c.name+",x\n")
		got := read(t, "a.csv", file, leadfile.Settings{})
		first, _, _ := strings.Cut(c.likely, ",")
		if !strings.Contains(got, "probably in "+c.likely+": give that encoding (-encoding "+first+")") {
			t.Errorf("%s: %s", c.name, got)
		}
		if _, known := leadfile.FindEncoding(c.likely); !known {
			continue // leads import knows it
		}
		want := fmt.Sprintf("2: {\"lead_name\":%q,\"city\":\"x\"}\n", c.name)
		if got := read(t, "a.csv", file, leadfile.Settings{Encoding: c.likely}); got != want {
			t.Errorf("got %swant %s", got, want)
		}
	}
	for _, name := range []string{"cp1252", "Windows-1252", "latin1", "ISO-8859-1", "cp850", "IBM850", "mac", "koi8-r", "UTF-16"} {
		if _, ok := leadfile.FindEncoding(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
	if got := read(t, "a.csv", "city\nx\n", leadfile.Settings{Encoding: "klingon"}); !strings.Contains(got, `The encoding "klingon" is not known here: save the file as UTF-8`) {
		t.Error(got)
	}
	// A byte order mark has priority over a setting.
	if got := read(t, "a.csv", "\ufeffcity\nŁódź\n", leadfile.Settings{Encoding: "windows-1252"}); got != "2: {\"city\":\"Łódź\"}\n" {
		t.Error(got)
	}
	if got := read(t, "a.csv", "city\na\x81b\n", leadfile.Settings{Encoding: "windows-1252"}); got != "2! it contains a character that is not in the encoding of the file\n" {
		t.Error(got)
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("connection reset")
	rows := strings.Repeat("{}\n", 30_000)
	x, err := leadfile.NewReader(io.MultiReader(strings.NewReader(rows+"{"), iotest.ErrReader(broken)), "a.ndjson", leadfile.Settings{}, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30_000 {
		if row, err := x.Read(); err != nil || row.Line != i+1 {
			t.Fatalf("%v, %v", row, err)
		}
	}
	if row, err := x.Read(); err != broken {
		t.Fatalf("%q, %v: want no row, because it is incomplete", row.JSON, err)
	}
	// The layout of a file is not guessed from a part of its beginning.
	if _, err := leadfile.NewReader(io.MultiReader(strings.NewReader("a,b\n"), iotest.ErrReader(broken)), "a.csv", leadfile.Settings{}, leadfile.Position{}); err != broken {
		t.Errorf("error %v, want that of the content", err)
	}
}

// TestContinue checks that reading can continue at each position of a file, in
// UTF-8 and UTF-16, and that each value is read as a Writer has written it.
func TestContinue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cell := rapid.OneOf(rapid.Just[any](nil), rapid.StringOf(rapid.SampledFrom([]rune("ab ,\"\r\n;é'=🏢"))).AsAny())
		want := rapid.SliceOf(rapid.SliceOfN(cell, 2, 2)).Draw(rt, "cells")
		var text bytes.Buffer
		w := leadfile.NewWriter(&text, leadfile.CSV, []string{"lead_name", "company_name"}, false)
		for _, record := range want {
			if err := errors.Join(w.Write(&lead.Lead{Values: lead.Values{record[0], record[1]}}), w.Flush()); err != nil {
				rt.Fatal(err)
			}
			text.WriteString(rapid.SampledFrom([]string{"", "\n", "\r\n"}).Draw(rt, "empty line"))
		}
		w.Flush()
		file := text.Bytes()
		if rapid.Bool().Draw(rt, "UTF-16") {
			file = []byte(utf16File("\ufeff"+text.String(), false))
		}
		s := leadfile.Settings{KeepSpaces: true}
		x, err := leadfile.NewReader(bytes.NewReader(file), "a.csv", s, leadfile.Position{})
		if err != nil {
			rt.Fatal(err)
		}
		for i, record := range want {
			if record[0] == nil && record[1] == nil {
				continue
			}
			// Encoded as JSON, as in a message.
			var from leadfile.Position
			text, _ := json.Marshal(x.Position())
			if err := json.Unmarshal(text, &from); err != nil {
				rt.Fatal(err)
			}
			again, err := leadfile.NewReader(bytes.NewReader(file[from.Start():]), "a.csv", s, from)
			if err != nil {
				rt.Fatal(err)
			}
			row, err := x.Read()
			other, otherErr := again.Read()
			if err != nil || otherErr != nil || row.Err != nil || row.Line != other.Line || !bytes.Equal(row.JSON, other.JSON) {
				rt.Fatalf("row %d: %+v, %v; after continuing: %+v, %v", i, row, err, other, otherErr)
			}
			var values lead.Values
			values.Apply(row.Changes)
			if values[0] != record[0] || values[1] != record[1] {
				rt.Fatalf("row %d: %q, want %q", i, values[:2], record)
			}
		}
		if row, err := x.Read(); err != io.EOF {
			rt.Fatalf("%+v, %v, want the end", row, err)
		}
	})
}

// TestReadMemory reads a file that is far larger than the memory it may use.
func TestReadMemory(t *testing.T) {
	line := []byte(`{"lead_name":"Ada Lovelace","company_name":"Analytical Engines"}` + "\n")
	rows := (64 << 20) / len(line)
	size := int64(rows * len(line))
	x, err := leadfile.NewReader(io.LimitReader(&repeater{line: line}, size), "a.ndjson", leadfile.Settings{}, leadfile.Position{})
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
	if n != rows || most > uint64(size/8) {
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

// TestManyColumns reads a line that is no header but has as many cells as possible.
func TestManyColumns(t *testing.T) {
	start := time.Now()
	_, err := leadfile.NewReader(strings.NewReader(strings.Repeat("aaa,", 16_000)+"\n"), "a.csv", leadfile.Settings{SkipUnknown: true}, leadfile.Position{})
	if took := time.Since(start); !errors.As(err, new(*leadfile.FileError)) || took > 20*time.Second {
		t.Errorf("%v, %.60v", took, err)
	}
}

// BenchmarkRead reads rows with the names of fields, and rows whose columns are
// recognised and converted.
func BenchmarkRead(b *testing.B) {
	for name, header := range map[string]string{
		"own":    "first_name,last_name,email_id,company_name,phone,city,annual_revenue\n",
		"mapped": "First Name,Last Name,E-mail Address,Company,Business Phone,Business City,Annual Revenue\n",
	} {
		b.Run(name, func(b *testing.B) {
			line := []byte("Ada,Okafor,ada@example.com,Northwind Traders,+1 555 0100,Oslo,1250000\n")
			x, err := leadfile.NewReader(io.MultiReader(strings.NewReader(header), &repeater{line: line}), "a.csv", leadfile.Settings{}, leadfile.Position{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if row, err := x.Read(); err != nil || row.Err != nil {
					b.Fatal(err, row.Err)
				}
			}
		})
	}
}

// FuzzRead checks that a reader never fails and never hangs, counts lines right,
// and returns valid JSON.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"lead_name,city\n\"a\nb\",c\n", "\xef\xbb\xbf{}\n", "[{},{}]", "sep=;\ncity;x\n1;2", "Notes\n\nEmail\tCity\r\na\tb", "\xff\xfec\x00\n\x00"} {
		f.Add([]byte(seed), "a.csv")
		f.Add([]byte(seed), "a.json")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, file []byte, name string) {
		x, err := leadfile.NewReader(bytes.NewReader(file), name, leadfile.Settings{}, leadfile.Position{})
		if fileErr := (*leadfile.FileError)(nil); errors.As(err, &fileErr) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		layout := x.Position().Layout
		for {
			before := x.Position()
			row, err := x.Read()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			after := x.Position()
			if after.Offset <= before.Offset {
				t.Fatalf("from %+v to %+v", before, after)
			}
			if layout.Encoding == "utf-8" && after.Lines != bytes.Count(file[:after.Offset], []byte(layout.LineEnd)) {
				t.Fatalf("from %+v to %+v", before, after)
			}
			if layout.Format == leadfile.CSV && row.JSON != nil {
				if _, err := lead.ParseChanges(row.JSON); errors.As(err, new(*lead.SyntaxError)) {
					t.Fatalf("%q became %q: %v", row.Text, row.JSON, err)
				}
			}
		}
		if layout.Encoding == "utf-8" && x.Position().Offset != int64(len(file)) {
			t.Fatalf("%d of %d bytes were read", x.Position().Offset, len(file))
		}
	})
}
