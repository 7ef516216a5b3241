package contract

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/kballard/go-shellquote"
)

// What the published reference writes where a user puts his own.
const (
	publishedHost = "https://api.overplane.dev"
	publishedKey  = "sk_test_..."
	publishedID   = "lead_abc123"
)

// parseCurl reads a curl command of the published reference as a shell and
// curl would. It replaces the host, the key and the example's id, and nothing
// else: id is "" where the command has none.
func parseCurl(command, id, keyName string) (request, error) {
	words, err := shellquote.Split(command)
	if err != nil {
		return request{}, err
	}
	if len(words) < 2 || words[0] != "curl" {
		return request{}, errors.New("a curl command begins with curl and an address")
	}
	path, ok := strings.CutPrefix(words[1], publishedHost)
	if !ok {
		return request{}, fmt.Errorf("the address %s is not one of %s", words[1], publishedHost)
	}
	if strings.Contains(path, publishedID) != (id != "") {
		return request{}, fmt.Errorf("%s: an id is given exactly where %s stands", path, publishedID)
	}
	r := request{method: http.MethodGet, path: strings.Replace(path, publishedID, id, 1), header: make(http.Header), keyName: keyName}
	return r, r.readOptions(words[2:])
}

// readOptions reads the options that the reference uses: -H, -X and -d.
func (r *request) readOptions(words []string) error {
	method := ""
	for len(words) > 0 {
		if len(words) == 1 {
			return fmt.Errorf("the option %s has no value", words[0])
		}
		option, value := words[0], words[1]
		words = words[2:]
		switch option {
		case "-H":
			name, content, ok := strings.Cut(value, ":")
			if !ok {
				return fmt.Errorf("%q is not a header", value)
			}
			r.header.Set(name, strings.Replace(strings.TrimSpace(content), publishedKey, "{key}", 1))
		case "-X":
			method = value
		case "-d":
			r.method, r.body = http.MethodPost, &value
		default:
			return fmt.Errorf("the published reference has no option %s", option)
		}
	}
	if method != "" {
		r.method = method
	}
	if r.body != nil && r.header.Get("Content-Type") == "" {
		r.header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl does
	}
	return nil
}
