package leadfile_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/leadfile"
)

// TestExports reads files as exporters write them.
func TestExports(t *testing.T) {
	text, err := os.ReadFile("testdata/exports/expect.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]struct {
		Rows   int
		Fields map[string]any
	}
	if err := json.Unmarshal(text, &files); err != nil || len(files) < 6 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(filepath.Join("testdata/exports", name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			x, err := leadfile.NewReader(file, name, leadfile.Settings{SkipUnknown: true}, leadfile.Position{})
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			for ; ; rows++ {
				row, err := x.Read()
				if err == io.EOF {
					break
				} else if err != nil || row.Err != nil {
					t.Fatalf("line %d: %v, %v", row.Line, err, row.Err)
				}
				var fields map[string]any
				if err := json.Unmarshal(row.JSON, &fields); err != nil {
					t.Fatal(err)
				}
				for field, value := range want.Fields {
					if rows == 0 && fields[field] != value {
						t.Errorf("%s is %v, want %v", field, fields[field], value)
					}
				}
			}
			if rows != want.Rows {
				t.Errorf("%d rows, want %d", rows, want.Rows)
			}
		})
	}
}

// columnsOf returns what the columns of a header become.
func columnsOf(t *testing.T, file string, s leadfile.Settings) ([]leadfile.Column, error) {
	t.Helper()
	x, err := leadfile.NewReader(strings.NewReader(file), "a.csv", s, leadfile.Position{})
	if err != nil {
		return nil, err
	}
	return x.Columns(), nil
}

func TestColumns(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"names of fields without case and signs", "LEAD NAME,E-mail ID,Mobile-No.", "lead_name email_id mobile_no"},
		{"the more exact of two columns", "E-mail 1 - Value,Email,Email (2)", "? email_id ?"},
		{"the first of two equal columns", "Email,Email", "email_id ?"},
		{"title and company of other exporters", "Title,Company,title2", "job_title company_name ?"},
		{"title and company in a plain list", "name,title,company", "lead_name job_title company_name"},
		{"title and company in a file with the names of fields", "lead_name,title,company", "lead_name title company"},
		{"title beside a job title", "title,Job Title", "title job_title"},
		{"columns of Pipedrive", "Person - Email,Person - First name,Lead - Source,Organization - Name", "email_id first_name utm_source company_name"},
		{"columns of Close", "display_name,primary_contact_name,primary_contact_primary_email,primary_address_city", "? lead_name email_id city"},
		{"columns of ActiveCampaign", "Contact ID,Contact First Name,Contact Email,Account", "? first_name email_id ?"},
		{"columns of Google Ads", "Lead ID,User Name,User Email,User Phone,Region", "? ? email_id phone state"},
		{"columns of Insightly", "AddressCity,AddressState,AddressCountry,AddressPostcode", "city state country ?"},
		{"columns of Shopify, Nimble and Eventbrite", "Default Address City,Address: work: state,Home Country,Accepts Email Marketing", "city state country ?"},
		{"nothing else", "Vorname,Notes,#,Record ID", "? ? ? ?"},
		{"what only the server writes", "id,created_at,Name", "- - lead_name"},
		{"the reasons of rejected rows", "Full Name," + leadfile.ReasonColumn, "lead_name -"},
	} {
		t.Run("recognise "+c.name, func(t *testing.T) {
			columns, err := columnsOf(t, c.header+"\n", leadfile.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, column := range columns {
				switch {
				case column.Field != "":
					got = append(got, column.Field)
				case column.Undecided != "":
					got = append(got, "?")
				default:
					got = append(got, "-")
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: got %s, want %s", c.header, got, c.want)
			}
		})
	}
}

func TestUndecided(t *testing.T) {
	const file = "Frist Name,Notes,Email,E-mail,,Copmany Name\nAda,\"met at\nthe fair, where it rained all day\",a@b.example,,x,N\n,,c@d.example\n"
	columns, err := columnsOf(t, file, leadfile.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if got := leadfile.FormatColumns([]leadfile.Column{{Name: "a\x1b[2J", Samples: []string{"b\x00\tc"}}}); strings.ContainsAny(got, "\x00\x1b") {
		t.Errorf("control characters in %q", got)
	}
	want := [][2]string{{"Frist Name", "first_name"}, {"Notes", ""}, {"E-mail", ""}, {"column 5", ""}, {"Copmany Name", "company_name"}}
	if got := leadfile.Undecided(columns); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	table := "" +
		"COLUMN        BECOMES                        FIRST VALUES\n" +
		"Frist Name    left out?                      Ada\n" +
		"Notes         left out?                      met at the fair, where …\n" +
		"Email         email_id                       a@b.example | c@d.example\n" +
		"E-mail        left out? (Email is email_id)  \n" +
		"column 5      left out?                      x\n" +
		"Copmany Name  left out?                      N\n"
	if got := leadfile.FormatColumns(columns); got != table {
		t.Errorf("got\n%swant\n%s", got, table)
	}
	columns, err = columnsOf(t, file, leadfile.Settings{SkipUnknown: true})
	if got := leadfile.Undecided(columns); err != nil || len(got) > 0 {
		t.Errorf("with SkipUnknown: %q, %v", got, err)
	}
	columns, err = columnsOf(t, file, leadfile.Settings{
		ID: "Notes", Map: map[string]string{"Frist Name": "lead_name", "E-mail": "email_id", "column 5": "", "Copmany Name": "", "Email": ""},
	})
	if got := leadfile.Undecided(columns); err != nil || len(got) > 0 || columns[0].Field != "lead_name" || columns[3].Field != "email_id" || columns[2].Field != "" {
		t.Errorf("with a mapping: %q, %+v, %v", got, columns, err)
	}
}

func TestSettingErrors(t *testing.T) {
	for want, s := range map[string]leadfile.Settings{
		`Column "Phone" cannot become "phon": no field of a new lead has this name. Did you mean phone?`: {Map: map[string]string{"Phone": "phon"}},
		`Column "Phone" cannot become "id": no field of a new lead has this name.`:                       {Map: map[string]string{"Phone": "id"}},
		`Columns "Name" and "Phone" cannot both become city: map one of them to another field.`:          {Map: map[string]string{"Name": "city", "Phone": "city"}},
		`The decimal sign is ";": give point or comma.`:                                                  {Decimal: ";"},
		`None of the columns becomes a field: Name, Phone. Map at least one of them.`:                    {Map: map[string]string{"Name": "", "Phone": ""}},
	} {
		if _, err := columnsOf(t, "Name,Phone\na,b\n", s); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		header, cell string
		settings     leadfile.Settings
		want         string // JSON, or the error
	}{
		{"Lead Name", " Ada\u00a0", leadfile.Settings{}, `{"lead_name":"Ada"}`},
		{"Lead Name", " Ada\u00a0", leadfile.Settings{KeepSpaces: true}, `{"lead_name":" Ada` + "\u00a0" + `"}`},
		{"Lead Name", "N/A", leadfile.Settings{}, `{"lead_name":"N/A"}`},
		{"Lead Name,City", " n/a,Oslo", leadfile.Settings{Empty: []string{"-", "N/A"}}, `{"city":"Oslo"}`},
		{"Phone", "'+1 555", leadfile.Settings{}, `{"phone":"+1 555"}`},
		{"Phone", "p:+47 555", leadfile.Settings{}, `{"phone":"+47 555"}`},
		{"Phone", "'n Roll", leadfile.Settings{}, `{"phone":"'n Roll"}`},
		{"Email Opt Out", "X", leadfile.Settings{}, `{"unsubscribed":true}`},
		{"Email Opt Out", "Yes", leadfile.Settings{}, `{"unsubscribed":true}`},
		{"Email Opt Out", "1", leadfile.Settings{}, `{"unsubscribed":true}`},
		{"Email Opt Out", "FALSE", leadfile.Settings{}, `{"unsubscribed":false}`},
		{"Email Opt Out", "no", leadfile.Settings{}, `{"unsubscribed":false}`},
		{"Email Opt Out", "0", leadfile.Settings{}, `{"unsubscribed":false}`},
		{"Email Opt Out", "maybe", leadfile.Settings{}, `Column "Email Opt Out": "maybe" is neither yes nor no. Correct the cell or leave it empty.`},
		{"Email", "ada", leadfile.Settings{}, `Column "Email": "ada" is not an e-mail address. Correct the cell or leave it empty.`},
		{"City", strings.Repeat("é", 141), leadfile.Settings{}, `Column "City": "` + strings.Repeat("é", 39) + `…" is longer than 140 characters: shorten it, or leave the cell empty.`},
		{"City", "a\x01", leadfile.Settings{}, `Column "City": "a\x01" contains a control character: type it again, or leave the cell empty.`},
	} {
		if got := read(t, "a.csv", c.header+"\n"+c.cell+"\n", c.settings); got != "2: "+c.want+"\n" && !strings.HasPrefix(got, "2! ") {
			t.Errorf("%q: got %s, want %s", c.cell, got, c.want)
		} else if strings.HasPrefix(got, "2! ") {
			x, _ := leadfile.NewReader(strings.NewReader(c.header+"\n"+c.cell+"\n"), "a.csv", c.settings, leadfile.Position{})
			if row, _ := x.Read(); row.Err == nil || row.Err.Error() != c.want {
				t.Errorf("%q: got %v, want %s", c.cell, row.Err, c.want)
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	const ambiguous, comma, no = "can be read in two ways", "decimal comma", "is not a number"
	for _, c := range []struct{ cell, unset, point, comma string }{
		{"1250000", "1250000", "1250000", "1250000"},
		{"-12.5", "-12.5", "-12.5", no},
		{"12,5", comma, no, "12.5"},
		{"1,250", ambiguous, "1250", "1.250"},
		{"1.250", ambiguous, "1.250", "1250"},
		{"0.250", "0.250", "0.250", no},
		{"1,250,000", "1250000", "1250000", no},
		{"1.250.000", "1250000", no, "1250000"},
		{"1,250.50", "1250.50", "1250.50", no},
		{"1.250,50", "1250.50", no, "1250.50"},
		{"1 250 000,5", comma, no, "1250000.5"},
		{"1\u202f250\u00a0000", "1250000", "1250000", "1250000"},
		{"1'250'000.50", "1250000.50", "1250000.50", no},
		{"$1,250,000.00", "1250000.00", "1250000.00", no},
		{"€ 12", "12", "12", "12"},
		{"12 €", "12", "12", "12"},
		{"-£5", "-5", "-5", "-5"},
		{"+5", "5", "5", "5"},
		{"007", "7", "7", "7"},
		{".5", "0.5", "0.5", no},
		{"1e6", "1e6", "1e6", "1e6"},
		{"12 34", no, no, no},
		{"1.2.3", no, no, no},
		{"5%", no, no, no},
		{"10k", no, no, no},
		{"(5)", no, no, no},
		{"--5", no, no, no},
		{"$", no, no, no},
	} {
		for decimal, want := range map[string]string{"": c.unset, "point": c.point, "comma": c.comma} {
			file := fmt.Sprintf("Annual Revenue\n\"%s\"\n", c.cell)
			x, err := leadfile.NewReader(strings.NewReader(file), "a.csv", leadfile.Settings{Decimal: decimal}, leadfile.Position{})
			if err != nil {
				t.Fatal(err)
			}
			row, err := x.Read()
			switch {
			case err != nil:
				t.Fatal(err)
			case row.Err != nil && !strings.Contains(row.Err.Error(), want):
				t.Errorf("%q with decimal %q: %v, want %s", c.cell, decimal, row.Err, want)
			case row.Err != nil:
			case len(row.Changes) != 1 || string(row.JSON) != `{"annual_revenue":`+want+`}`:
				t.Errorf("%q with decimal %q: %s, want %s", c.cell, decimal, row.JSON, want)
			}
		}
	}
	// In a file with the names of fields, a number is what it is in JSON.
	if got := read(t, "a.csv", "annual_revenue\n1.250\n", leadfile.Settings{}); got != "2: {\"annual_revenue\":1.250}\n" {
		t.Error(got)
	}
	if got := read(t, "a.csv", "Annual Revenue\n1e200\n", leadfile.Settings{}); !strings.HasPrefix(got, "2! Column \"Annual Revenue\"") {
		t.Error(got)
	}
}

// TestKnownColumns checks that each name in columns.csv is recognised as its field,
// is there once, and has exporters.
func TestKnownColumns(t *testing.T) {
	file, err := os.Open("columns.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 100 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		field, name, exporters := row[0], row[1], row[2]
		columns, err := columnsOf(t, name+",x\n", leadfile.Settings{})
		if err != nil || columns[0].Field != field || exporters == "" || seen[name] {
			t.Errorf("%q becomes %+v, want %s (%v)", name, columns, field, err)
		}
		seen[name] = true
	}
}
