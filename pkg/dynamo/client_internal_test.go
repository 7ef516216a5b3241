package dynamo

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestRetryDelayHasFullJitter checks that a delay is random between 0 and a limit
// that doubles from 20 ms to 500 ms, so that clients that failed together do not
// retry together. Only throttling begins with the largest limit.
func TestRetryDelayHasFullJitter(t *testing.T) {
	doubling := []time.Duration{20, 40, 80, 160, 320, 500, 500, 500}
	for name, test := range map[string]struct {
		err    error
		limits []time.Duration
	}{
		"other error": {errors.New("connection reset"), doubling},
		"conflict":    {&types.TransactionCanceledException{}, doubling},
		"throttling":  {&types.ProvisionedThroughputExceededException{}, []time.Duration{500, 500, 500}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, limit := range test.limits {
				limit *= time.Millisecond
				short, long := 0, 0
				for range 1000 { // all are short, or all are long, once in 2^1000 times
					switch delay, err := newRetryer().RetryDelay(i+1, test.err); {
					case err != nil || delay < 0 || delay >= limit:
						t.Fatalf("delay %d is %v, want less than %v (error %v)", i+1, delay, limit, err)
					case delay < limit/2:
						short++
					default:
						long++
					}
				}
				if short == 0 || long == 0 {
					t.Errorf("of 1000 delays %d, %d are shorter than %v and %d longer", i+1, short, limit/2, long)
				}
			}
		})
	}
}
