package counter

import (
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// DynamoDB accepts a signature for signatureTime before and after its time. A
// window is sealed a minute after the last signature of a write to it has
// expired. The minute is for writes that DynamoDB has accepted but not yet
// executed.
const (
	signatureTime = 15 * time.Minute
	sealingTime   = signatureTime + time.Minute
)

// MaxDrift is how far the local clock may be from the Date of answers, which is
// in whole seconds, before it is corrected.
const MaxDrift = 2 * time.Second

// Clock tells the time of the database. It is the local clock, corrected by the
// Date of the last answer. It may still be wrong: then the database refuses the
// signatures that it dates, and the Date of that answer corrects it. It is safe
// for concurrent use.
type Clock struct {
	// Local is the clock of this process. It is time.Now when nil.
	Local func() time.Time

	mu         sync.Mutex
	correction time.Duration
	date       time.Time
}

func (c *Clock) local() time.Time {
	if c.Local == nil {
		return time.Now()
	}
	return c.Local()
}

// Now returns the time of the database as far as this process knows it.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local().Add(c.correction)
}

// Observe corrects the clock by the Date of an answer that has just arrived.
func (c *Clock) Observe(date time.Time) {
	if date.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.date = date
	if c.correction = date.Sub(c.local()); c.correction.Abs() <= MaxDrift {
		c.correction = 0
	}
}

// ObserveAnswer is Observe with the metadata of the SDK.
func (c *Clock) ObserveAnswer(answer middleware.Metadata) {
	date, _ := awsmiddleware.GetServerTime(answer)
	c.Observe(date)
}

// sealed returns the newest window that is sealed for queries that are sent from
// now on, or "" before the first answer. The time of the database is later than
// the Date of an answer that it gave before, whatever the local clock says.
func (c *Clock) sealed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.date.IsZero() {
		return ""
	}
	return windowOf(c.date.Add(-sealingTime - windowTime))
}
