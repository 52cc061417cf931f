package purgelog

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// Fork begins a new origin: the log goes on from where it stands in this
// database, on the server and at the slot that o names, and says what it
// leaves behind. What the slot cannot show becomes a gap. The signing key of o
// is the new origin's first, and its HMAC key is in use from here on, whatever
// those before were.
func Fork(ctx context.Context, o Options, actor string, f proof.Fork) error {
	l, err := take(ctx, o)
	if err != nil {
		return err
	}
	defer l.Close(context.WithoutCancel(ctx))
	found, err := l.load(ctx)
	foreign := errors.Is(err, ErrForeign)
	if err != nil && !foreign {
		return err
	}
	if !found { // the log that the anchors know is gone
		if err := l.genesis(ctx, 0); err != nil { // the next one to open it looks at the timeline
			return err
		}
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	former, err := l.adopt(ctx, foreign)
	if err != nil {
		return err
	}
	if foreign {
		f.Source = former
	}
	text := f.Text()
	if err := l.append(proof.Entry{Kind: proof.KindFork, CommitLSN: l.pending.applied, Actor: &actor, Reference: &text}); err != nil {
		return err
	}
	if former != "" {
		if err := l.compareLater(ctx); err != nil {
			return err
		}
	}
	if err := l.unseen(f, former); err != nil {
		return err
	}
	known, err := readLandmarks(ctx, l.tx)
	if err != nil {
		return err
	}
	changes, err := l.keyChanges(append(known, proof.Entry{Kind: proof.KindFork}), true)
	if err == nil {
		err = l.rotated(changes)
	}
	if err == nil {
		_, err = l.Flush(ctx)
	}
	return err
}

// adopt makes the log's progress that of the slot at hand, and tells whose it
// was and how far it went.
func (l *Log) adopt(ctx context.Context, foreign bool) (former string, err error) {
	was := l.committed.applied
	if foreign {
		err = l.tx.QueryRow(ctx, `select source, applied_lsn from sweeper.log_progress order by slot = $1 desc, updated_at desc limit 1`, l.o.Slot).Scan(&former, &was)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return "", pg.Wrap("read the progress of the purge log", err)
		}
	}
	if !foreign && l.o.Confirmed <= was {
		return "", nil
	}
	if _, err := l.tx.Exec(ctx, `update sweeper.log_progress set source = $2, system_id = $3, slot = $4, applied_lsn = $5 where source = $1`,
		cmp.Or(former, l.source), l.source, l.o.SystemID, l.o.Slot, l.o.Confirmed); err != nil {
		return "", pg.Wrap("move the progress of the purge log to this server", err)
	}
	l.committed.applied, l.pending.applied = l.o.Confirmed, l.o.Confirmed
	return fmt.Sprintf("%s up to LSN %s", cmp.Or(former, l.source), lsnText(was)), nil
}

// unseen appends the gap of a fork: entries that an anchor knows and this
// database has not, and what no slot shows.
func (l *Log) unseen(f proof.Fork, former string) error {
	text := ""
	size := l.committed.tree.Size()
	for _, b := range f.Anchors {
		if b.Origin == f.Origin && b.Size > size {
			text = fmt.Sprintf("entries from %d on that an anchored checkpoint has are not in this database", size)
		}
	}
	if former != "" {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("the log was complete of %s and goes on with %s at LSN %s: what was committed in between was never logged", former, l.source, lsnText(l.pending.applied))
	}
	if text == "" {
		return nil
	}
	return l.append(proof.Entry{Kind: "gap", CommitLSN: l.pending.applied, Reference: &text})
}
