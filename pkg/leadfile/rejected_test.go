package leadfile_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/leadfile"
)

// TestRejected writes the rejected rows of a file to another file, which can be
// corrected and imported alone.
func TestRejected(t *testing.T) {
	for _, c := range []struct{ name, file, want, again string }{
		{
			"a.csv", "Notes:\nE-mail;\"City\";\nada;\"a;\"\"b\"\"\nc\"\nx@y.example;ok;\nbob;1;;4;\"5\"\n\"eve;\nzoe\n\xff;\n",
			"\ufeffE-mail;City;;Rejected because\n" +
				"ada;\"a;\"\"b\"\"\nc\";;no\n" +
				"bob;1;;no;4;5\n" +
				"\"\"\"eve;\";;;no\n" +
				"zoe;;;no\n" +
				"\ufffd;;;no\n",
			"2! Column \"E-mail\"\n4! it has 6 cells and the header has 4\n5! Column \"E-mail\"\n6! Column \"E-mail\"\n7! Column \"E-mail\"\n",
		},
		{"a.csv", "sep=^\rEmail^City\rada^x\r", "\ufeffsep=^\nEmail^City^Rejected because\nada^x^no\n", "3! Column \"Email\"\n"},
		{
			"a.ndjson", "{}\n{\"email_id\":\"x\"}\n[\n",
			"{\"Rejected because\":\"no\",\"email_id\":\"x\"}\n{\"Rejected because\":\"no\",\"row\":\"[\"}\n",
			"1! Column \"email_id\"\n2! all its cells are in columns that are left out\n",
		},
	} {
		s := leadfile.Settings{Encoding: "utf-8"}
		x, err := leadfile.NewReader(strings.NewReader(c.file), c.name, s, leadfile.Position{})
		if err != nil {
			t.Fatal(err)
		}
		got := x.RejectedHeader()
		for {
			row, err := x.Read()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if row.Err != nil {
				got = x.AppendRejected(got, row, "no")
			}
		}
		if string(got) != c.want {
			t.Errorf("got\n%q\nwant\n%q", got, c.want)
		}
		again, err := leadfile.NewReader(bytes.NewReader(got), c.name, s, leadfile.Position{})
		if err != nil {
			t.Fatal(err)
		}
		if rows := readAll(t, again); rows != c.again {
			t.Errorf("read again: got\n%swant\n%s", rows, c.again)
		}
	}
}
