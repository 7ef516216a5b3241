package lead

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// readReference returns the object of the published reference: its text, its names
// in their order, and the kinds of its values.
func readReference(t testing.TB) (text []byte, names []string, kinds []jsontext.Kind) {
	t.Helper()
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.ReadToken()
		if err == io.EOF {
			return text, names, kinds
		}
		if err != nil {
			t.Fatal(err)
		}
		if token.Kind() == '"' {
			names = append(names, token.String())
			kinds = append(kinds, d.PeekKind())
			if err := d.SkipValue(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFieldsAreThoseOfTheReference(t *testing.T) {
	_, names, kinds := readReference(t)
	if len(names) != len(readOnly)+len(Fields) {
		t.Fatalf("the reference has %d members, the lead %d", len(names), len(readOnly)+len(Fields))
	}
	for i, name := range readOnly {
		if names[i] != name {
			t.Errorf("member %d is %s, in the reference %s", i, name, names[i])
		}
	}
	for i, f := range Fields {
		name, kind := names[len(readOnly)+i], kinds[len(readOnly)+i]
		if f.Name != name {
			t.Errorf("field %d is %s, in the reference %s", i, f.Name, name)
		}
		want := map[Kind]jsontext.Kind{Text: '"', Email: '"', Boolean: 'f', Decimal: '0'}[f.Kind]
		if kind != want {
			t.Errorf("the reference shows a value of kind %v for %s, want %v", kind, f.Name, want)
		}
	}
}

func TestFiveFieldsHaveDefaults(t *testing.T) {
	want := map[string]any{
		"lead_owner": "__user", "status": "Lead", "unsubscribed": false, "blog_subscriber": false, "disabled": false,
	}
	values := Defaults()
	for i, f := range Fields {
		if f.Default != want[f.Name] || values[i] != want[f.Name] {
			t.Errorf("the default of %s is %v, and of a new lead %v, want %v", f.Name, f.Default, values[i], want[f.Name])
		}
	}
}

func TestColumnsAreDistinctAndOfTwoLetters(t *testing.T) {
	seen := map[string]string{}
	for _, f := range Fields {
		if len(f.Column) != 2 || strings.Trim(f.Column, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("the column of %s is %q, want two small letters", f.Name, f.Column)
		}
		if other, taken := seen[f.Column]; taken {
			t.Errorf("%s and %s share the column %s", f.Name, other, f.Column)
		}
		seen[f.Column] = f.Name
	}
}

func TestLimitsAreThoseOfTheContract(t *testing.T) {
	for _, f := range Fields {
		want := map[Kind]int{Text: 140, Email: 254}[f.Kind]
		if f.Name == "website" || f.Name == "image" {
			want = 2048
		}
		if f.Max != want {
			t.Errorf("the greatest length of %s is %d, want %d", f.Name, f.Max, want)
		}
	}
}

// TestLengths sends each field a text at its limit and one beyond it, in
// characters of every width.
func TestLengths(t *testing.T) {
	for i, f := range Fields {
		for _, char := range []string{"a", "é", "語", "🙂", "\t", `"`} {
			at := strings.Repeat(char, f.Max)
			switch {
			case f.Kind == Email && len(char) == 1 && char == "a":
				at = strings.Repeat("a", f.Max-2) + "@b"
			case f.Kind == Email && len(char) == 2:
				at = strings.Repeat("é", (f.Max-2)/2) + "@b"
			case f.Kind != Text:
				continue
			}
			changes, err := ParseChanges(member(f.Name, at))
			if err != nil || len(changes) != 1 || changes[0] != (Change{i, at}) {
				t.Errorf("%d times %q for %s: %v", f.Max, char, f.Name, err)
			}
			_, err = ParseChanges(member(f.Name, at+char))
			wantViolations(t, err, f.Name, ParameterTooLong)
		}
	}
}

// member returns an object of one member, a string.
func member(name, value string) []byte {
	body := []byte("{")
	body, _ = jsontext.AppendQuote(body, name)
	body = append(body, ':')
	body, _ = jsontext.AppendQuote(body, value)
	return append(body, '}')
}

// wantViolations checks that err is a ValidationError with exactly these
// violations, given as parameter and code in turns, and that each has a message.
func wantViolations(t testing.TB, err error, want ...any) {
	t.Helper()
	var invalid ValidationError
	if !errors.As(err, &invalid) {
		t.Errorf("the error is %v, want violations %v", err, want)
		return
	}
	if len(invalid) != len(want)/2 {
		t.Errorf("the violations are %v, want %v", invalid, want)
		return
	}
	for i, v := range invalid {
		if v.Param != want[2*i] || v.Code != want[2*i+1] {
			t.Errorf("violation %d is %s of %s, want %v", i, v.Code, v.Param, want[2*i:2*i+2])
		}
		if v.Message == "" || !strings.Contains(err.Error(), v.Message) {
			t.Errorf("the error does not say what is wrong with %s: %v", v.Param, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for name, suggestion := range map[string]string{
		"lead_nam": "lead_name", "leadName": "lead_name", "LEAD_NAME": "lead_name", "led_naem": "lead_name",
		"emailid": "email_id", "email": "email_id", "emial_id": "email_id", "Email_Id": "email_id",
		"City": "city", "citty": "city", "utm_sorce": "utm_source", "firstname": "first_name",
		"lastName": "last_name", "mobile": "mobile_no", "revenue": "annual_revenue", "employees": "no_of_employees",
		"telephone": "phone", "name": "lead_name", "unsubscribe": "unsubscribed", "state ": "state",
		"ID": "id", "createdAt": "created_at", "Updated_At": "updated_at", "create_at": "created_at",
		"Company Name": "company_name", "company-name": "company_name", "organisation": "company_name", "EMail": "email_id", "e-mail": "email_id",
		"ctiy": "city", "phon": "phone", "Phone Number": "phone", "state_": "state", "url": "website", "titel": "title",
	} {
		_, err := ParseChanges(member(name, "x"))
		wantViolations(t, err, name, ParameterUnknown)
		if err != nil && !strings.Contains(err.Error(), " "+suggestion+"?") {
			t.Errorf("for %q it says %q, want a suggestion of %s", name, err, suggestion)
		}
	}
	for _, name := range []string{
		"", "_", "語", strings.Repeat("city", 100), "zip", "zip_code", "is", "i", "idea", "aid", "date", "notes", "street", "address", "x", "foo",
		"created_by", "deleted", "tags", "rating", "country_code", "lead",
	} {
		_, err := ParseChanges(member(name, "x"))
		wantViolations(t, err, name, ParameterUnknown)
		if err != nil && strings.Contains(err.Error(), "?") {
			t.Errorf("for %q it says %q, want no suggestion", name, err)
		}
	}
}
