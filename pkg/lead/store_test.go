package lead

import "testing"

func TestPrecondition(t *testing.T) {
	none, all, two := &Versions{}, &Versions{Any: true}, &Versions{List: []int64{2, 5}}
	for _, c := range []struct {
		outcome string
		only    Precondition
		at      []int64 // the versions at which it holds, of 1 to 6
	}{
		{"no precondition holds", Precondition{}, []int64{1, 2, 3, 4, 5, 6}},
		{"any version holds", Precondition{Match: all}, []int64{1, 2, 3, 4, 5, 6}},
		{"listed versions hold", Precondition{Match: two}, []int64{2, 5}},
		{"an empty list never holds", Precondition{Match: none}, nil},
		{"none of any never holds", Precondition{NoneMatch: all}, nil},
		{"none of the listed holds at others", Precondition{NoneMatch: two}, []int64{1, 3, 4, 6}},
		{"none of no versions holds", Precondition{NoneMatch: none}, []int64{1, 2, 3, 4, 5, 6}},
		{"both must hold", Precondition{Match: all, NoneMatch: two}, []int64{1, 3, 4, 6}},
		{"both of the same never hold", Precondition{Match: two, NoneMatch: two}, nil},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			want := Versions{List: c.at}
			for version := int64(1); version <= 6; version++ {
				if got := c.only.Holds(version); got != want.contains(version) {
					t.Errorf("at version %d it is %t", version, got)
				}
			}
		})
	}
}
