package lambdaruntime_test

import (
	"testing"

	"overplane.dev/leads/test/lambdaruntime"
)

func TestProgramThatEndsIsAnError(t *testing.T) {
	f, err := lambdaruntime.Start(lambdaruntime.Options{Command: []string{"/bin/sh", "-c", "exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	if took, err := f.Ready(t.Context()); err == nil {
		t.Errorf("ready after %v, want an error", took)
	}
	if out, err := f.Invoke(t.Context(), "1", []byte("{}")); err == nil {
		t.Errorf("response %q, want an error", out)
	}
}

func TestMissingProgramIsAnError(t *testing.T) {
	if _, err := lambdaruntime.Start(lambdaruntime.Options{Command: []string{"/nonexistent/bootstrap"}}); err == nil {
		t.Error("started, want an error")
	}
}
