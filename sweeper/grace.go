package sweeper

import (
	"context"
	"time"
)

// graced is a context that ends a grace after soft has ended, for the work
// that soft must not cut off. The caller ends it when that work is done.
func graced(soft context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(soft))
	stop := context.AfterFunc(soft, func() {
		_ = sleep(hard, grace)
		cancel()
	})
	return hard, func() { stop(); cancel() }
}

// sleep waits, or returns why ctx has ended before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
