// Package await waits for a server that was started beside this process.
package await

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Answer waits until a server answers at a URL, with whatever status. It gives
// up when the time is over or the server has ended; the error calls the server
// by its name.
func Answer(ctx context.Context, name, url string, within time.Duration, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%s did not answer in time", name))
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(r); err == nil {
			return res.Body.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("%s ended", name)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
