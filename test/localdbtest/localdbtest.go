// Package localdbtest starts a database engine for a test.
package localdbtest

import (
	"testing"

	"overplane.dev/leads/pkg/localdb"
)

// Start starts an empty engine in memory and returns its endpoint, in about 20 ms.
// The engine ends with the test. If it cannot start, the test fails.
func Start(t testing.TB) (endpoint string) {
	t.Helper()
	e, err := localdb.Start(t.Context(), localdb.Options{Data: localdb.Memory, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e.Endpoint()
}
