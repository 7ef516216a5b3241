package main

import (
	"testing"
	"time"
)

func TestParseLifetime(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90d":    90 * day,
		"1d":     day,
		"36500d": 36500 * day,
		"12h":    12 * time.Hour,
		"1h30m":  90 * time.Minute,
		"1s":     time.Second,
	} {
		t.Run("reads "+text, func(t *testing.T) {
			if got, err := parseLifetime(text); got != want || err != nil {
				t.Errorf("parseLifetime = %v, %v, want %v", got, err, want)
			}
		})
	}
	for _, text := range []string{
		"", "d", "0", "0d", "-1d", "-1h", "+1d", "1.5d", "90", "90 d", "90D", "1d12h", "1w",
		"36501d", "65536d", "18446744073709551616d", "876001h", "1ms",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			if got, err := parseLifetime(text); err == nil {
				t.Errorf("parseLifetime = %v", got)
			}
		})
	}
}
