package dynamo

import (
	"testing"
	"time"
)

// TestPausesHaveFullJitter: a pause is anything from nothing to a bound that
// doubles from 20 ms on, so that those who failed together do not come together
// again.
func TestPausesHaveFullJitter(t *testing.T) {
	for attempt, most := range []time.Duration{20, 40, 80, 160, 320, 500, 500, 500} {
		most *= time.Millisecond
		short, long := 0, 0
		for range 1000 { // of which all are short, or long, once in 2^1000 times
			switch p := pause(attempt); {
			case p < 0 || p >= most:
				t.Fatalf("pause %d is %v, want less than %v", attempt, p, most)
			case p < most/2:
				short++
			default:
				long++
			}
		}
		if short == 0 || long == 0 {
			t.Errorf("of 1000 pauses %d, %d are shorter than %v and %d longer", attempt, short, most/2, long)
		}
	}
}
