package lead

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawTime draws a time that fits in the 48 bits of a ULID.
func drawTime(t *rapid.T, label string) time.Time {
	ms := rapid.Int64Range(0, 1<<48-1).Draw(t, label+" ms")
	return time.UnixMilli(ms).Add(time.Duration(rapid.Int64Range(0, 999_999).Draw(t, label+" ns"))).UTC()
}

func TestIDsContainTheTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at, random := drawTime(t, "at"), rapid.Uint64().Draw(t, "random")
		id := newID(at, random)
		if parsed, ok := ParseID(string(id)); !ok || parsed != id {
			t.Fatalf("ParseID(%q) = %q, %t", id, parsed, ok)
		}
		if !id.Time().Equal(at) || id.Time().Location() != time.UTC {
			t.Fatalf("the time of %s is %v, want %v", id, id.Time(), at)
		}
		if !strings.HasSuffix(string(id), id.Random()) || newID(at.Add(time.Hour), random).Random() != id.Random() {
			t.Fatalf("the random part of %s is %s", id, id.Random())
		}
	})
}

func TestIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTime(t, "a"), drawTime(t, "b")
		if rapid.Bool().Draw(t, "near") {
			b = a.Add(time.Duration(rapid.IntRange(-2_000_000, 2_000_000).Draw(t, "by")))
		}
		if a.UnixMilli() < 0 || b.UnixMilli() < 0 || b.UnixMilli() >= 1<<48 {
			return
		}
		x, y := newID(a, rapid.Uint64().Draw(t, "random part of a")), newID(b, rapid.Uint64().Draw(t, "random part of b"))
		if got, want := strings.Compare(string(x), string(y)), a.Compare(b); want != 0 && got != want {
			t.Fatalf("%s and %s sort as %d, their times as %d", x, y, got, want)
		}
	})
}

// TestIDOfTheULIDSpecification uses the example of the specification, in which
// 01ARZ3NDEK is 2016-07-30T23:54:10.259Z.
func TestIDOfTheULIDSpecification(t *testing.T) {
	id, ok := ParseID("lead_01arz3ndek0000000000000000")
	if want := time.Date(2016, 7, 30, 23, 54, 10, 259e6, time.UTC); !ok || !id.Time().Equal(want) {
		t.Errorf("the time is %v, %t, want %v", id.Time(), ok, want)
	}
}

func TestParseID(t *testing.T) {
	const zeros = "0000000000000000000000000"
	for _, text := range []string{"lead_0" + zeros, "lead_7" + strings.Repeat("z", 25), "lead_0123456789abcdefghjkmnpqrs"} {
		if _, ok := ParseID(text); !ok {
			t.Errorf("ParseID(%q) = false", text)
		}
	}
	for _, text := range []string{
		"", "lead_", "lead_abc123", "lead_" + zeros, "lead_00" + zeros, "lead_8" + zeros, "LEAD_0" + zeros, "0" + zeros,
		"lead-0" + zeros, "lead_0" + strings.Repeat("A", 25), "lead_i" + zeros, "lead_l" + zeros, "lead_o" + zeros, "lead_u" + zeros,
		"lead_0" + zeros[1:] + "i", "lead_0" + zeros[1:] + "/", " lead_0" + zeros, "lead_0" + zeros[1:] + "\n", "lead_/" + zeros,
		"lead_0" + zeros[2:] + "é",
	} {
		if id, ok := ParseID(text); ok || id != "" {
			t.Errorf("ParseID(%q) = %q, %t, want none", text, id, ok)
		}
	}
}

func TestGeneratedIDsIncrease(t *testing.T) {
	noon := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
	for outcome, clock := range map[string]func(i int) time.Time{
		"while time passes":              func(i int) time.Time { return noon.Add(time.Duration(i) * time.Millisecond) },
		"while the clock stands still":   func(int) time.Time { return noon },
		"while the clock goes backwards": func(i int) time.Time { return noon.Add(-time.Duration(i) * time.Hour) },
		"across a millisecond's end":     func(int) time.Time { return noon.Add(999_990) },
	} {
		t.Run(outcome, func(t *testing.T) {
			var generator IDGenerator
			last := ID("")
			for i := range 100 {
				id := generator.Next(clock(i))
				if id <= last {
					t.Fatalf("id %d is %s, after %s", i, id, last)
				}
				if _, ok := ParseID(string(id)); !ok {
					t.Fatalf("%s is not an id", id)
				}
				last = id
			}
		})
	}
}

func TestGeneratorsMakeDifferentIDs(t *testing.T) {
	noon := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
	var a, b IDGenerator
	if x, y := a.Next(noon), b.Next(noon); x == y || x.Time() != y.Time() {
		t.Errorf("two generators made %s and %s at the same time", x, y)
	}
}

func TestIDGeneratorIsSafeForConcurrentUse(t *testing.T) {
	var (
		generator IDGenerator
		all       [8][]ID
		wait      sync.WaitGroup
	)
	for i := range all {
		wait.Go(func() {
			for range 100 {
				all[i] = append(all[i], generator.Next(time.Now()))
			}
		})
	}
	wait.Wait()
	ids := slices.Concat(all[:]...)
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 800 {
		t.Errorf("800 ids, %d distinct ones", n)
	}
	for _, own := range all {
		if !slices.IsSorted(own) {
			t.Error("an id is not greater than the one before it")
		}
	}
}
