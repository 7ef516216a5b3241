package main

import (
	"testing"
	"time"
)

func TestFormatProgress(t *testing.T) {
	for _, c := range []struct {
		done, total, count int64
		want               string
	}{
		{0, 100, 0, "0 rows, 0 a second"},
		{50, 200, 1000, "[#####---------------]  25 %  1000 rows, 100 a second, 30s left"},
		{200, 200, 4000, "[####################] 100 %  4000 rows, 400 a second, 0s left"},
		{50, 0, 1000, "1000 rows, 100 a second"}, // of an unknown number
	} {
		if got := formatProgress("rows", c.done, c.total, c.count, 10*time.Second); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
