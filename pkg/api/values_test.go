package api_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/contract"
)

// characters are what texts are drawn from: of every length in UTF-8, with and
// without an escape in JSON, and some that normalization or trimming would change.
var characters = []rune("aZ0 \t\n\r\"\\/\x7f\u0080\u00a0é\u0301ß\u2028語\ufeff\ufffd\uffff🙂\U0010ffff<>&'")

// drawValue draws a value of a field as JSON, in one of the ways to write it, and
// as the API must return it.
func drawValue(t *rapid.T, f *lead.Field) (sent, want jsontext.Value) {
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		want, err := json.Marshal(f.Default)
		if err != nil {
			t.Fatal(err)
		}
		return jsontext.Value("null"), want
	}
	switch f.Kind {
	case lead.Boolean:
		v := jsontext.Value(rapid.SampledFrom([]string{"true", "false"}).Draw(t, "boolean"))
		return v, v
	case lead.Decimal:
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		return jsontext.Value(text), jsontext.Value(text)
	}
	text := "a@b"
	if f.Kind == lead.Text {
		// The shortest and the greatest lengths are drawn often.
		n := rapid.SampledFrom([]int{0, 1, 2, 10, f.Max - 1, f.Max}).Draw(t, "length")
		var b strings.Builder
		for range n {
			b.WriteRune(characters[rapid.IntRange(0, len(characters)-1).Draw(t, "character")])
		}
		text = b.String()
	}
	want, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	if sent = want; rapid.Bool().Draw(t, "escaped") {
		sent = escapeAll(text)
	}
	return sent, want
}

// escapeAll returns a JSON string in which every character is escaped.
func escapeAll(text string) []byte {
	dst := []byte{'"'}
	for _, r := range text {
		if r >= 1<<16 {
			r -= 1 << 16
			dst = fmt.Appendf(dst, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		dst = fmt.Appendf(dst, `\u%04x`, r)
	}
	return append(dst, '"')
}

// TestWhatIsSentIsStored creates and updates leads with random values in a real
// database engine, and compares the lead, as answered, retrieved and listed, with
// a map.
func TestWhatIsSentIsStored(t *testing.T) {
	w := newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		want := map[string]jsontext.Value{}
		for i, v := range lead.Defaults() {
			text, err := json.Marshal(v)
			if err != nil {
				rt.Fatal(err)
			}
			want[lead.Fields[i].Name] = text
		}
		path := ""
		for range rapid.IntRange(1, 3).Draw(rt, "requests") {
			var members []string
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(lead.Fields)-1), 0, 6, rapid.ID).Draw(rt, "fields") {
				f := &lead.Fields[i]
				sent, value := drawValue(rt, f)
				members = append(members, fmt.Sprintf("%q:%s", f.Name, sent))
				want[f.Name] = value
			}
			body := "{" + strings.Join(members, ",") + "}"
			var got answer
			if path == "" {
				got = w.send(t, contract.Main, http.MethodPost, collection, body)
				path = got.header.Get("Location")
			} else {
				got = w.send(t, contract.Main, http.MethodPatch, path, body)
			}
			if got.status >= 400 {
				rt.Fatalf("%s is refused: %s", body, got.body)
			}
			for _, text := range []string{got.body, w.send(t, contract.Main, http.MethodGet, path, "").body, w.newest(t)} {
				wantValues(rt, text, want)
			}
		}
	})
}

// newest returns the first lead of the list.
func (w *fixture) newest(t testing.TB) string {
	var page struct {
		Data []jsontext.Value `json:"data"`
	}
	list := w.send(t, contract.Main, http.MethodGet, collection+"?limit=1", "")
	if err := json.Unmarshal([]byte(list.body), &page); err != nil || len(page.Data) != 1 {
		t.Fatalf("%v: %s", err, list.body)
	}
	return string(page.Data[0])
}

func wantValues(t *rapid.T, text string, want map[string]jsontext.Value) {
	var got map[string]jsontext.Value
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want)+3 { // and id, created_at, updated_at
		t.Fatalf("there are %d members: %s", len(got), text)
	}
	for name, want := range want {
		if got := got[name]; !sameValue(got, want) {
			t.Fatalf("%s is %s, want %s", name, got, want)
		}
	}
}

// sameValue compares numbers by value and anything else byte for byte.
func sameValue(a, b jsontext.Value) bool {
	if a.Kind() != '0' || b.Kind() != '0' {
		return bytes.Equal(a, b)
	}
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) == 0
}

// TestLargestPageFitsALambdaResponse: a response of Lambda has at most 6 MB, and
// the body is a JSON string in it.
func TestLargestPageFitsALambdaResponse(t *testing.T) {
	longest := 0
	for _, char := range []string{"a", "語", "🙂", `"`, `\`, "\n", "\x7f", "\u2028", "<"} {
		l := lead.Lead{ID: "lead_00000000000000000000000000"}
		for i, f := range lead.Fields {
			switch f.Kind {
			case lead.Text:
				l.Values[i] = strings.Repeat(char, f.Max)
			case lead.Email:
				l.Values[i] = strings.Repeat(`"`, f.Max)
			case lead.Boolean:
				l.Values[i] = false
			case lead.Decimal:
				l.Values[i] = lead.Number("-1." + strings.Repeat("1", 37) + "e-130")
			}
		}
		text := l.AppendJSON(nil)
		if !utf8.Valid(text) {
			t.Fatalf("the lead of %q is not UTF-8", char)
		}
		inside, err := stdjson.Marshal(string(text)) // as package lambdahttp does
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(inside))
	}
	if page := 100*longest + 1000; page > 6<<20 {
		t.Errorf("a page of 100 leads has up to %d bytes", page)
	} else {
		t.Logf("a page of 100 leads has up to %d bytes", page)
	}
}
