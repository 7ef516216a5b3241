package lead

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// change returns the change of the field that has this name.
func change(name string, value any) Change { return Change{FieldNamed(name), value} }

func TestParseChanges(t *testing.T) {
	for body, want := range map[string][]Change{
		"":                                 nil,
		" \t\r\n":                          nil,
		"{}":                               nil,
		"\n{\t}\r ":                        nil,
		`{"city":"Oslo"}`:                  {change("city", "Oslo")},
		`{"city":""}`:                      {change("city", "")},
		`{"city":null,"status":null}`:      {change("city", nil), change("status", nil)},
		`{"status":"Open","city":"x"}`:     {change("status", "Open"), change("city", "x")},
		`{"c\u0069ty":"\u004fslo"}`:        {change("city", "Oslo")},
		`{"city":"\ud83d\ude42 \/ \" \t"}`: {change("city", "🙂 / \" \t")},
		`{"city":" \u00e5 a\u030a "}`:      {change("city", " å a\u030a ")}, // neither trimmed nor normalised
		`{"city":"\u007f\u0080\ufeff"}`:    {change("city", "\x7f\u0080\ufeff")},
		`{"disabled":true,"unsubscribed":false,"blog_subscriber":null}`:          {change("disabled", true), change("unsubscribed", false), change("blog_subscriber", nil)},
		`{"annual_revenue":-1.50e3}`:                                             {change("annual_revenue", Number("-1500"))},
		`{"annual_revenue":-0}`:                                                  {change("annual_revenue", Number("0"))},
		`{"id":"x","created_at":1,"updated_at":{"a":[null]},"city":"x"}`:         {change("city", "x")},
		`{"id":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`:       nil,
		`{"id":null,"created_at":null,"updated_at":null,"annual_revenue":1e125}`: {change("annual_revenue", Number("1e125"))},
	} {
		changes, err := ParseChanges([]byte(body))
		if err != nil || !slices.Equal(changes, want) {
			t.Errorf("ParseChanges(%s) = %v, %v, want %v", body, changes, err, want)
		}
	}
}

func TestReferenceCanBeSentBack(t *testing.T) {
	text, names, _ := readReference(t)
	changes, err := ParseChanges(text)
	if err != nil || len(changes) != len(names)-len(readOnly) {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	east := time.FixedZone("", 3600)
	l := Lead{ID: "lead_abc123", CreatedAt: time.Date(2024, 1, 15, 10, 30, 0, 999, east), Values: Defaults()}
	l.UpdatedAt = l.CreatedAt
	l.Values.Apply(changes)
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	if got := l.AppendJSON(nil); string(got) != compact.String() {
		t.Errorf("the lead is\n%s\nwant\n%s", got, compact.String())
	}
}

// wantSyntaxError checks that err is a SyntaxError that gives this reason and
// repeats nothing of the body.
func wantSyntaxError(t testing.TB, body string, err error, reason string) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Errorf("ParseChanges(%.100q): the error is %v, want a SyntaxError", body, err)
		return
	}
	if !strings.Contains(syntax.Message, reason) || !strings.Contains(syntax.Message, "Send one JSON object") {
		t.Errorf("ParseChanges(%.100q) says %q, want %q", body, syntax.Message, reason)
	}
	if strings.Contains(syntax.Message, secret) {
		t.Errorf("the message repeats the body: %s", syntax.Message)
	}
}

// secret is in bodies. Error messages must not contain it.
const secret = "classified"

func TestStrictJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	deepObject := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	const twice, deeper, noObject, after, early = "occurs twice", "deeper than 32", "not an object", "something follows", "too early"
	for body, reason := range map[string]string{
		// Duplicate names, also in values that are ignored and with escapes.
		`{"city":"a","city":"a"}`:                   twice,
		`{"city":"a","c\u0069ty":"` + secret + `"}`: twice,
		`{"` + secret + `":1,"` + secret + `":1}`:   twice,
		`{"id":1,"id":2}`:                           twice,
		`{"nothing":{"a":1,"\u0061":2}}`:            twice,
		`{"id":{"a":1,"a":2}}`:                      twice,
		`{"city":[{"a":1,"a":2}]}`:                  twice,
		`{"city":1,"nothing":2,"city":"a"}`:         twice, // before its violations
		`{"\u00e9":1,"é":2}`:                        twice,
		`{"🙂":1,"\ud83d\ude42":2}`:                  twice,
		"[]":                                        noObject,
		`"` + secret + `"`:                          noObject,
		"null":                                      noObject,
		"0":                                         noObject,
		"true":                                      noObject,
		`[{"city":"a"}]`:                            noObject,
		"{}{}":                                      after,
		"{}\n[]":                                    after,
		`{} "` + secret + `"`:                       after,
		"{},":                                       after,
		"{}\x00":                                    after,
		"{}//":                                      after,
		"{}\ufeff":                                  after,
		"\ufeff{}":                                  "",
		"\ufeff":                                    "",
		"\xff\xfe{\x00}\x00":                        "",
		"\u00a0{}":                                  "",
		"\v{}":                                      "",
		"\x00":                                      "",
		"{":                                         early,
		`{"city"`:                                   early,
		`{"city":`:                                  early,
		`{"city":"` + secret:                        early,
		`{"city":"a",`:                              early,
		`{"id":[`:                                   early,
		`{"city":"a"}}`:                             after,
		`{"city":"a",}`:                             "",
		`{,}`:                                       "",
		`{"city" "a"}`:                              "",
		`{"city":"a" "state":"b"}`:                  "",
		`{'city':'a'}`:                              "",
		`{city:"a"}`:                                "",
		`{"city":"a"]`:                              "",
		`{"city":undefined}`:                        "",
		`{"disabled":True}`:                         "",
		`{"city":"a"/**/}`:                          "",
		`{"annual_revenue":NaN}`:                    "",
		`{"annual_revenue":Infinity}`:               "",
		`{"annual_revenue":-}`:                      "",
		`{"annual_revenue":+1}`:                     "",
		`{"annual_revenue":01}`:                     "",
		`{"annual_revenue":-01}`:                    "",
		`{"annual_revenue":1.}`:                     "",
		`{"annual_revenue":.5}`:                     "",
		`{"annual_revenue":1e}`:                     "",
		`{"annual_revenue":1e+}`:                    "",
		`{"annual_revenue":0x1}`:                    "",
		`{"annual_revenue":1_000}`:                  "",
		`{"nothing":01}`:                            "",
		"{\"city\":\"a\nb\"}":                       "",
		"{\"city\":\"a\tb\"}":                       "",
		"{\"city\":\"a\x00b\"}":                     "",
		"{\"city\":\"a\x1fb\"}":                     "",
		"{\"a\nb\":1}":                              "",
		`{"city":"\x41"}`:                           "",
		`{"city":"\u12"}`:                           "",
		`{"city":"\u{41}"}`:                         "",
		"{\"city\":\"\xff\"}":                       "",
		"{\"city\":\"\xc0\x80\"}":                   "", // overlong
		"{\"city\":\"\xed\xa0\x80\"}":               "", // a surrogate in UTF-8
		"{\"city\":\"\xf4\x90\x80\x80\"}":           "", // beyond U+10FFFF
		"{\"city\":\"\xe2\x82\"}":                   "",
		"{\"\xff\":1}":                              "",
		"{\"id\":\"\xff\"}":                         "",
		"{\"nothing\":[\"\xff\"]}":                  "",
		`{"city":"\ud800"}`:                         "",
		`{"city":"\udc00"}`:                         "",
		`{"city":"\ud800\ud800"}`:                   "",
		`{"city":"\udc00\ud800"}`:                   "",
		`{"city":"\ud800x"}`:                        "",
		`{"city":"\ud800\u0041"}`:                   "",
		`{"\ud800":1}`:                              "",
		`{"id":"\ud800"}`:                           "",
		`{"nothing":{"\udfff":1}}`:                  "",
		`{"id":` + deep(32) + `}`:                   deeper,
		`{"nothing":` + deep(32) + `}`:              deeper,
		`{"city":` + deep(32) + `}`:                 deeper,
		`{"created_at":` + deepObject(32) + `}`:     deeper,
		`{"nothing":[0,{"a":` + deepObject(30) + `}]}`: deeper,
		`{"city":` + strings.Repeat("[", 60_000):       deeper,
		deep(40):                                       noObject,
	} {
		changes, err := ParseChanges([]byte(body))
		if changes != nil {
			t.Errorf("ParseChanges(%.100q) = %v", body, changes)
		}
		wantSyntaxError(t, body, err, reason)
	}
	for name, want := range map[string][]any{
		"id": nil, "nothing": {"nothing", ParameterUnknown}, "city": {"city", ParameterInvalid},
	} {
		for _, inner := range []string{deep(31), deepObject(31), `[0,{"a":` + deepObject(29) + `}]`} {
			_, err := ParseChanges([]byte(`{"` + name + `":` + inner + `}`))
			if want == nil && err == nil {
				continue
			}
			wantViolations(t, err, want...)
		}
	}
}

func TestValuesAreNotConverted(t *testing.T) {
	values := map[byte][]string{
		'"': {`"x"`, `"true"`, `"0"`, `"null"`}, '0': {"0", "1", "1.5e3"}, 't': {"true", "false"}, '[': {"[]", `["x"]`}, '{': {"{}", `{"a":"x"}`},
	}
	own := map[Kind]byte{Text: '"', Email: '"', Boolean: 't', Decimal: '0'}
	for i, f := range Fields {
		for kind, texts := range values {
			for _, text := range texts {
				body := fmt.Sprintf(`{"lead_name":"x",%q:%s,"image":"x"}`, f.Name, text)
				if f.Name == "lead_name" || f.Name == "image" {
					body = fmt.Sprintf("{%q:%s}", f.Name, text)
				}
				changes, err := ParseChanges([]byte(body))
				switch {
				case kind != own[f.Kind]:
					wantViolations(t, err, f.Name, ParameterInvalid)
				case f.Kind == Email:
					wantViolations(t, err, f.Name, ParameterInvalid) // not an address
				case err != nil || !slices.ContainsFunc(changes, func(c Change) bool { return c.Field == i }):
					t.Errorf("%s: %v, %v", body, changes, err)
				}
			}
		}
	}
}

func TestControlCharacters(t *testing.T) {
	for _, f := range Fields {
		if f.Kind != Text {
			continue
		}
		for c := range rune(0x21) {
			_, err := ParseChanges(member(f.Name, "a"+string(c)+"b"))
			if c == '\t' || c == '\n' || c == '\r' || c == ' ' {
				if err != nil {
					t.Errorf("%q in %s: %v", c, f.Name, err)
				}
				continue
			}
			wantViolations(t, err, f.Name, ParameterInvalid)
		}
	}
}

func TestEveryViolationIsNamedInOrder(t *testing.T) {
	body := `{"website":` + fmt.Sprintf("%q", strings.Repeat("w", 2049)) + `,"Nope":{"a":[1]},"lead_name":7,"city":"Oslo",
		"email_id":"nobody","annual_revenue":1e126,"disabled":"true","id":7,"nope":null,"phone":"\u0000` + strings.Repeat("1", 140) + `","":1}`
	_, err := ParseChanges([]byte(body))
	wantViolations(t, err,
		"website", ParameterTooLong, "Nope", ParameterUnknown, "lead_name", ParameterInvalid,
		"email_id", ParameterInvalid, "annual_revenue", ParameterInvalid, "disabled", ParameterInvalid, "nope", ParameterUnknown,
		"phone", ParameterTooLong, "phone", ParameterInvalid, "", ParameterUnknown)
}

func TestApply(t *testing.T) {
	values := Defaults()
	values.Apply([]Change{change("city", "Oslo"), change("status", "Open"), change("disabled", true), change("phone", "")})
	for name, want := range map[string]any{"city": "Oslo", "status": "Open", "disabled": true, "phone": "", "state": nil, "lead_owner": "__user"} {
		if got := values[FieldNamed(name)]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	values.Apply([]Change{change("city", nil), change("status", nil), change("disabled", nil), change("phone", nil)})
	if values != Defaults() {
		t.Errorf("cleared values are %v, want the defaults", values)
	}
}

// FuzzParseChanges looks for a panic, an undocumented error, or changes that differ
// from the body or do not round-trip.
func FuzzParseChanges(f *testing.F) {
	reference, _, _ := readReference(f)
	for _, body := range []string{
		string(reference), "", "{}", " ", "[]", `{"city":"Oslo","annual_revenue":-12.50e-3,"disabled":true,"status":null}`,
		`{"c\u0069ty":"\ud83d\ude42","email_id":"\"a b\"@[::]"}`, `{"city":"a","city":"b"}`, "{\"city\":\"\xff\"}", `{"a":[{"b":1e999}]}`,
		`{"id":{"a":[]},"lead_nam":1}`, `{"annual_revenue":` + strings.Repeat("9", 39) + `}`, "\ufeff{}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		changes, err := ParseChanges(bytes.Clone(body))
		var syntax *SyntaxError
		var invalid ValidationError
		switch {
		case err == nil:
			wantSameValues(t, body, changes)
			wantRoundTrip(t, changes)
		case changes != nil:
			t.Errorf("changes and the error %v", err)
		case errors.As(err, &syntax):
			if syntax.Message == "" || !utf8.ValidString(syntax.Message) {
				t.Errorf("the message is %q", syntax.Message)
			}
		case !errors.As(err, &invalid) || len(invalid) == 0:
			t.Errorf("an error of no documented kind: %v", err)
		}
	})
}

// wantSameValues compares changes with what encoding/json decodes.
func wantSameValues(t *testing.T, body []byte, changes []Change) {
	sent := map[string]any{}
	if len(bytes.TrimSpace(body)) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&sent); err != nil {
			t.Fatalf("encoding/json refuses what was taken: %v", err)
		}
	}
	for _, name := range readOnly {
		delete(sent, name)
	}
	if len(sent) != len(changes) {
		t.Errorf("%d members became %d changes", len(sent), len(changes))
	}
	for _, c := range changes {
		name := Fields[c.Field].Name
		want, given := sent[name]
		if n, ok := want.(json.Number); ok {
			got, _ := c.Value.(Number)
			a, okA := new(big.Rat).SetString(string(got))
			b, okB := new(big.Rat).SetString(mantissaOf(string(n)))
			if !okA || !okB || a.Cmp(b) != 0 {
				t.Errorf("%s became %v", n, c.Value)
			}
		} else if !given || c.Value != want {
			t.Errorf("%s is %v, sent was %v", name, c.Value, want)
		}
	}
}

// mantissaOf removes the exponent of a zero, which may have any size.
func mantissaOf(number string) string {
	if mantissa, _, ok := strings.Cut(strings.ToLower(number), "e"); ok && strings.Trim(mantissa, "-0.") == "" {
		return "0"
	}
	return number
}

// wantRoundTrip checks that an answered lead can be sent back unchanged.
func wantRoundTrip(t *testing.T, changes []Change) {
	l := Lead{ID: newID(time.UnixMilli(0), 0), Values: Defaults()}
	l.Values.Apply(changes)
	answer := l.AppendJSON(nil)
	if !jsontext.Value(answer).IsValid() {
		t.Fatalf("the answer is not JSON: %q", answer)
	}
	again, err := ParseChanges(answer)
	if err != nil {
		t.Fatalf("a lead cannot be sent back: %v\n%q", err, answer)
	}
	back := Lead{ID: l.ID, Values: Defaults()}
	back.Values.Apply(again)
	if back.Values != l.Values {
		t.Errorf("the values are %v, want %v", back.Values, l.Values)
	}
	if second := back.AppendJSON(nil); !bytes.Equal(second, answer) {
		t.Errorf("the lead is\n%s\nwas\n%s", second, answer)
	}
}

func TestParseChangesSkipsUnknownNamesAfterManyViolations(t *testing.T) {
	var names []string
	for i := range 3 * MaxViolations {
		names = append(names, fmt.Sprintf(`"unknown%d":1`, i))
	}
	_, err := ParseChanges([]byte("{" + strings.Join(names, ",") + "}"))
	var invalid ValidationError
	if !errors.As(err, &invalid) || len(invalid) != MaxViolations {
		t.Errorf("%d violations, error %v", len(invalid), err)
	}
}

func TestParseMembers(t *testing.T) {
	for body, want := range map[string]string{
		``:                                `[]`,
		` {} `:                            `[]`,
		`{"a":{"b":1,"b":2},"":"\ud800"}`: `[{a {"b":1,"b":2}} { "\ud800"}]`,
		`{"a":1,"a":1}`:                   `a name occurs twice in one object.`,
		`{"a":1,"\u0061":1}`:              `a name occurs twice in one object.`,
		`[]`:                              `it is not an object`,
		`null`:                            `it is not an object`,
		`{"a":1} {}`:                      `something follows the object`,
		`{"a":1`:                          `it ends too early`,
		`{"a":[1,}`:                       `it is not well formed`,
		"\ufeff{}":                        `it is not well formed`,
	} {
		members, err := ParseMembers([]byte(body))
		got := fmt.Sprint(members)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%s: the error is a %T", body, err)
			}
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", body, got, want)
		}
	}
}

func TestParseUpsert(t *testing.T) {
	for body, want := range map[string][]string{
		`{"email_id":"Ann@Example.org","city":"Bonn"}`: nil,
		``:                                   {"email_id"},
		`{"city":"Bonn"}`:                    {"email_id"},
		`{"email_id":null}`:                  {"email_id"},
		`{"email_id":""}`:                    {"email_id"},
		`{"email_id":"nobody"}`:              {"email_id"},
		`{"email_id":5}`:                     {"email_id"},
		`{"email_id":"` + placeholder + `"}`: {"email_id"},
		`{"town":"Bonn","city":1}`:           {"town", "city", "email_id"},
	} {
		changes, err := ParseUpsert([]byte(body))
		var invalid ValidationError
		if errors.As(err, &invalid); want != nil && changes != nil || want == nil && (len(changes) != 2 || err != nil) {
			t.Errorf("ParseUpsert(%s) returned %v: %v", body, changes, err)
		}
		var params []string
		for _, v := range invalid {
			params = append(params, v.Param)
		}
		if !slices.Equal(params, want) {
			t.Errorf("ParseUpsert(%s) refused %v, want %v", body, params, want)
		}
	}
	_, err := ParseUpsert([]byte("[]"))
	wantSyntaxError(t, "[]", err, "not an object")
}
