package sweeper

import (
	"context"
	"log/slog"
	"time"
)

const (
	checkpointEvery = 30 * time.Second // while the log grows
	checkpointLook  = 2 * time.Second  // at whether it has
	agreeEvery      = time.Minute      // between two looks at the anchors when it has not
	mendEvery       = 4 * time.Second  // the same, while the last look found something wrong
	lastCheckpoint  = 10 * time.Second // for the one at the end
)

// notarize makes checkpoints of the log while this process writes it, and
// otherwise looks now and then whether the log still continues what is
// anchored, until ctx ends. What goes wrong is told through the health and, once
// a minute, in the log: it stops purging, never the log.
func (d *daemon) notarize(ctx context.Context, n *notary, s *stream) {
	var made, looked time.Time
	var size int64 // that every anchor has a checkpoint of
	for sleep(ctx, checkpointLook) == nil {
		now := d.now()
		entries := d.health.looked().Facts.Entries
		switch {
		case d.health.disagrees() && now.Sub(looked) >= mendEvery:
			looked = now
			if d.look(ctx, n) == nil {
				made = time.Time{}
			}
		case s.reading.Load() && entries != size && now.Sub(made) >= checkpointEvery:
			made, looked = now, now
			if anchored, err := d.notarized(ctx, n); err == nil {
				size = anchored
			}
		case now.Sub(looked) >= agreeEvery:
			looked = now
			_ = d.look(ctx, n)
		}
	}
}

// notarized makes one checkpoint, of as many entries as are old enough.
func (d *daemon) notarized(ctx context.Context, n *notary) (entries int64, err error) {
	conn, _, err := d.cfg.logger(ctx, d.instance)
	if err != nil {
		return 0, err // the monitor tells of it
	}
	defer closeSoon(conn)
	made, unanchored, err := n.checkpoint(ctx, conn)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.log.ErrorContext(ctx, "no checkpoint is made of the purge log", slog.Any(KeyErr, err))
	case unanchored != nil:
		d.log.WarnContext(ctx, "a checkpoint is not anchored yet", slog.Any(KeyErr, unanchored))
		err = unanchored
	case made != nil:
		entries = int64(made.c.Size)
	}
	return entries, err
}

// look holds the log against its anchors.
func (d *daemon) look(ctx context.Context, n *notary) error {
	conn, _, err := d.cfg.logger(ctx, d.instance)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	return n.begin(ctx, conn)
}

// lastNote makes the checkpoint of what this process has logged before it ends.
func (d *daemon) lastNote(ctx context.Context, n *notary) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCheckpoint)
	defer cancel()
	_, _ = d.notarized(ctx, n)
}

// conclude makes the checkpoint of what a sweep has logged, unless another
// process writes the log and makes it. An anchor that cannot be reached is a
// warning: the next process that writes the log gives it the checkpoint.
func (n *notary) conclude(ctx context.Context, s *stream, warn func(string)) error {
	if !s.reading.Load() {
		return nil
	}
	conn, _, err := n.cfg.logger(ctx, s.instance)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	_, unanchored, err := n.checkpoint(ctx, conn)
	if unanchored != nil && warn != nil {
		warn("the checkpoint of the purge log is not anchored yet: " + safeText(unanchored))
	}
	return err
}
