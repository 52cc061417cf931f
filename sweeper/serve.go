package sweeper

import "context"

// serve answers probes until ctx ends.
func (d *daemon) serve(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
