package awsenv_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/awsenv"
)

func TestLog(t *testing.T) {
	for _, test := range []struct {
		level, release string
		want           []string // parts of the lines
	}{
		{"", "", []string{`"msg":"i"}`, `"msg":"w"}`}},
		{"INFO", "v1", []string{`"msg":"i","release":"v1"}`, `"msg":"w","release":"v1"}`}},
		{"WARN", "v1", []string{`"msg":"w","release":"v1"}`}},
		{"TRACE", "", []string{`"msg":"i"}`, `"msg":"w"}`}},
	} {
		t.Run(test.level, func(t *testing.T) {
			t.Setenv("AWS_LAMBDA_LOG_LEVEL", test.level)
			t.Setenv("LEADS_RELEASE", test.release)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout := os.Stdout
			os.Stdout = w
			log := awsenv.NewLog()
			os.Stdout = stdout
			log.Debug("d")
			log.Info("i")
			log.Warn("w")
			w.Close()
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%q, want %q", lines, test.want)
			}
			for i, line := range lines {
				if !strings.Contains(line, test.want[i]) {
					t.Errorf("%s, want %s", line, test.want[i])
				}
			}
		})
	}
}
