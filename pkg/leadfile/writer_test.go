package leadfile_test

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// exportedColumns are the columns of the files in testdata/roundtrip.
var exportedColumns = []string{"id", "created_at", "lead_name", "company_name", "email_id", "phone", "city", "annual_revenue", "unsubscribed"}

// exportedLeads returns leads with everything that is special in CSV.
func exportedLeads(t *testing.T) (leads []lead.Lead) {
	t.Helper()
	for i, body := range []string{
		`{"lead_name":"Mira Solberg","company_name":"Fjord, Supplies","email_id":"mira@example.com","phone":"+47 555 0101","city":"","annual_revenue":1250000.5,"unsubscribed":true}`,
		`{"lead_name":"Tomás \"T\" Ibarra","company_name":"two\nlines","phone":"=1+1","city":"'quoted'","annual_revenue":-3}`,
		`{"lead_name":"'=x","company_name":"'","phone":"@home","city":"-","annual_revenue":0}`,
		`{"lead_name":"a;b|c\td","company_name":"007","phone":"0047","city":"Łódź 🏢"}`,
		`{"lead_name":"NULL","company_name":"true","phone":"1e5","city":"N/A","email_id":""}`,
	} {
		changes, err := lead.ParseChanges([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		l := lead.Lead{ID: lead.ID("lead_01k00000000000000000000000"), CreatedAt: time.Date(2026, 3, 1, 9, 30, i, 0, time.UTC), Values: lead.Defaults()}
		l.Values.Apply(changes)
		leads = append(leads, l)
	}
	return leads
}

func TestWriter(t *testing.T) {
	for name, raw := range map[string]bool{"export.csv": false, "raw.csv": true} {
		var got bytes.Buffer
		w := leadfile.NewWriter(&got, leadfile.CSV, exportedColumns, raw)
		for _, l := range exportedLeads(t) {
			if err := w.Write(&l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/roundtrip/" + name)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s\n%v", name, got.String(), want, err)
		}
	}
	var got bytes.Buffer
	w := leadfile.NewWriter(&got, leadfile.NDJSON, []string{"id", "city"}, false)
	l := exportedLeads(t)[0]
	if err := w.Write(&l); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	if want := "{\"id\":\"lead_01k00000000000000000000000\",\"city\":\"\"}\n"; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

// TestRoundTrip reads copies of an export that other tools wrote.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name  string
		equal func(got, want any, field string) bool
	}{
		{"export.csv", func(got, want any, _ string) bool { return got == want }},
		{"duckdb.csv", func(got, want any, _ string) bool { return got == want }},
		{"csv.csv", emptyIsNull},
		{"pandas.csv", func(got, want any, field string) bool {
			if want == "NULL" || want == "N/A" { // pandas reads these as missing
				return got == nil
			}
			return emptyIsNull(got, want, field)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := os.Open("testdata/roundtrip/" + c.name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			x, err := leadfile.NewReader(file, c.name, leadfile.Settings{KeepSpaces: true}, leadfile.Position{})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range exportedLeads(t) {
				row, err := x.Read()
				if err != nil || row.Err != nil {
					t.Fatal(err, row.Err)
				}
				got := lead.Defaults()
				got.Apply(row.Changes)
				for i := range lead.Fields {
					if !c.equal(got[i], want.Values[i], lead.Fields[i].Name) {
						t.Errorf("line %d: %s is %#v, want %#v", row.Line, lead.Fields[i].Name, got[i], want.Values[i])
					}
				}
			}
			if _, err := x.Read(); err != io.EOF {
				t.Errorf("after the last row: %v", err)
			}
		})
	}
}

func emptyIsNull(got, want any, _ string) bool { return got == want || got == nil && want == "" }
