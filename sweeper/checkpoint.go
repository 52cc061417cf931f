package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// Checkpoint makes a checkpoint of the purge log now, whoever writes it, and
// returns it as it is kept: with what is in the log, or what SWEEPER_CONFIRM_DELAY
// lets be seen of it. A log that has not grown since its last checkpoint gets no
// other, which a newer signing key cannot have signed: that is an error.
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
	made, unanchored, err := n.checkpoint(ctx, conn)
	if err == nil && made == nil {
		err = &SetupError{"the purge log has no entry yet, or none as old as SWEEPER_CONFIRM_DELAY", "it begins with the first sweep"}
	}
	if err == nil && !cfg.SigningKey.signed(made.note) {
		err = &SetupError{
			fmt.Sprintf("the purge log has a checkpoint of all its %d entries, and it is not signed with SWEEPER_SIGNING_KEY, which came later", made.c.Size),
			"run: sweeper sweep, which has the log take the key, and signs",
		}
	}
	if err != nil {
		return "", unanchored, err
	}
	return string(made.note), unanchored, nil
}

// CheckpointStatus is the newest checkpoint of the purge log, as the database
// has it.
type CheckpointStatus struct {
	Size     int64
	MadeAt   time.Time
	SignedBy []string // names and hashes of keys; none: it is not signed
	Anchors  []string // that have it
}

func newestCheckpoint(ctx context.Context, conn *pgx.Conn) (*CheckpointStatus, error) {
	var c CheckpointStatus
	err := conn.QueryRow(ctx, `
		select c.size, c.made_at, c.signed_by, array(select a.anchor from sweeper.checkpoint_anchors a where a.checkpoint_id = c.checkpoint_id order by 1)
		  from sweeper.checkpoints c order by c.checkpoint_id desc limit 1`).Scan(&c.Size, &c.MadeAt, &c.SignedBy, &c.Anchors)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &c, pg.Wrap("look for the newest checkpoint", err)
}
