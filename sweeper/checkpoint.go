package sweeper

import (
	"context"
	"log/slog"
	"time"
)

// Checkpoint makes a checkpoint of the purge log now, whoever writes it, and
// returns it as it is kept: with what is in the log, or what SWEEPER_CONFIRM_DELAY
// lets be seen of it.
func Checkpoint(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (note string, unanchored, err error) {
	self := newInstance()
	conn, _, err := cfg.logger(ctx, self)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	n, err := newNotary(cfg, log, now, nil)
	if err != nil {
		return "", nil, err
	}
	note, unanchored, err = n.checkpoint(ctx, conn)
	if err == nil && note == "" {
		err = &SetupError{"the purge log has no entry yet that a checkpoint could speak of", "it begins with the first sweep"}
	}
	return note, unanchored, err
}
