// Package localdbtest gives tests a database engine.
package localdbtest

import (
	"testing"

	"overplane.dev/leads/pkg/localdb"
)

// Start starts an empty engine in memory, which ends with the test, and returns
// its endpoint. It takes some 20 ms. The test fails where there can be no
// engine: none is skipped for it.
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
