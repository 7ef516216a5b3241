package main

import "testing"

// TestTheFiguresCanBePriced reads the document that make cost reads.
func TestTheFiguresCanBePriced(t *testing.T) {
	if err := run("../../../docs/performance.md"); err != nil {
		t.Error(err)
	}
}
