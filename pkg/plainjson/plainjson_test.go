package plainjson_test

import (
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/plainjson"
)

// reader returns what a text reads as, or "refused".
func reader[T any](read func(*jsontext.Decoder) (T, error)) func(string) string {
	return func(text string) string {
		v, err := plainjson.Whole([]byte(text), read)
		if err != nil {
			return "refused"
		}
		return fmt.Sprintf("%#v", v)
	}
}

func TestRead(t *testing.T) {
	texts := func(d *jsontext.Decoder) (map[string]string, error) { return plainjson.Map(d, plainjson.String) }
	for name, c := range map[string]struct {
		read func(string) string
		want map[string]string
	}{
		"String": {reader(plainjson.String), map[string]string{
			`"a\u0062"`: `"ab"`, `null`: `""`, `1`: "refused", `{}`: "refused", `"\ud83d"`: "refused", "\"\xff\"": "refused", ``: "refused", `"a" "b"`: "refused",
		}},
		"Bool": {reader(plainjson.Bool), map[string]string{
			`true`: "true", `false`: "false", `null`: "false", `"true"`: "refused",
		}},
		"Int": {reader(plainjson.Int[int64]), map[string]string{
			`12`: "12", `-0`: "0", `null`: "0", `1.0`: "refused", `1e3`: "refused", `9223372036854775808`: "refused", `"1"`: "refused",
		}},
		"Float": {reader(plainjson.Float), map[string]string{
			`1.5e3`: "1500", `null`: "0", `1e999`: "refused", `"NaN"`: "refused",
		}},
		"Strings": {reader(plainjson.Strings), map[string]string{
			`["a",null]`: `[]string{"a", ""}`, `[]`: `[]string{}`, `null`: `[]string(nil)`, `[1]`: "refused", `["a"`: "refused", `["a"}`: "refused", `{}`: "refused",
		}},
		"Map": {reader(texts), map[string]string{
			`{"a":"b"}`: `map[string]string{"a":"b"}`, `{}`: `map[string]string{}`, `null`: `map[string]string(nil)`,
			`{"a":"b","a":"b"}`: "refused", `{"a":"b","\u0061":"b"}`: "refused", `{"a":1}`: "refused", `{"a"]`: "refused", `[]`: "refused",
		}},
	} {
		for text, want := range c.want {
			t.Run(fmt.Sprintf("%s reads %s", name, text), func(t *testing.T) {
				if got := c.read(text); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
}

func TestAppendStrings(t *testing.T) {
	if got, want := string(plainjson.AppendStrings(nil, []string{"a\"\n", "\xff<"})), `["a\"\n",`+"\"\uFFFD<\"]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string(plainjson.AppendStrings(nil, nil)); got != "[]" {
		t.Errorf("%s, want []", got)
	}
}
