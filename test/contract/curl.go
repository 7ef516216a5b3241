package contract

import (
	"errors"
	"net/http"
	"strings"

	"github.com/kballard/go-shellquote"
)

// parseCurl reads a curl command of the published reference. It replaces the
// host, the key and the example's id, and nothing else. It knows only the
// options that the reference uses.
func parseCurl(command, id, key string) (*request, error) {
	ours := strings.NewReplacer("https://api.overplane.dev", "", "sk_test_...", "{key}", "lead_abc123", id)
	words, err := shellquote.Split(ours.Replace(command))
	if err != nil {
		return nil, err
	}
	if len(words)%2 != 0 || len(words) < 2 || words[0] != "curl" || !strings.HasPrefix(words[1], "/") {
		return nil, errors.New("a curl command has an address of https://api.overplane.dev and options with values")
	}
	r := &request{method: http.MethodGet, path: words[1], header: make(http.Header), key: key}
	for i := 2; i < len(words); i += 2 {
		option, value := words[i], words[i+1]
		name, content, isHeader := strings.Cut(value, ": ")
		switch {
		case option == "-X":
			r.method = value
		case option == "-d":
			r.body = &value
		case option == "-H" && isHeader:
			r.header.Set(name, content)
		default:
			return nil, errors.New("the published reference has no such option: " + option + " " + value)
		}
	}
	return r, nil
}
