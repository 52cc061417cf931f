package purgelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// Pruning says what may go from the beginning of the log, and who has it go.
type Pruning struct {
	Retention string     // of the log, as an interval; the database allows none under seven years
	Label     string     // the same as the entry tells it: P7Y
	Before    *time.Time // months from here on stay; nil: all go that are old enough
	Actor     string
	Reason    string
	Workers   int // as in Check
	Progress  func(done, total int64)
}

// Candidate is a prefix of whole months that verified and may go.
type Candidate struct {
	Until   time.Time // the first instant that stays
	Entries int64
	prune   proof.Prune
	by      Pruning
}

// pruneWait is how long the writer of the log waits for its readers: everybody
// who comes later waits behind it.
const pruneWait = "2s"

// ErrUnsound: what was to be pruned does not verify. It stays, for whoever finds
// out why.
var ErrUnsound = errors.New("the purge log does not verify, so that nothing is pruned; run: sweeper log verify")

// Prunable looks for whole months at the beginning of the log that are older than
// its retention, and verifies them: fields, rows and chain of their entries, the
// tree up to the head, and the latest checkpoint. nil: there are none.
func Prunable(ctx context.Context, conn *pgx.Conn, by Pruning) (*Candidate, error) {
	c := &Candidate{by: by}
	var last *int64
	var until *time.Time
	var chain []byte
	var checkpoint *string
	err := conn.QueryRow(ctx, `
		select u.until, l.last, (select chain_hash from sweeper.purge_log where seq = l.last),
		       (select note from sweeper.checkpoints where size > l.last and size <= h.size order by size desc, checkpoint_id desc limit 1)
		  from sweeper.log_head h
		 cross join lateral (select sweeper.prunable_until($1::text::interval, coalesce($2, now())) as until) u
		 cross join lateral (select max(seq) as last from sweeper.purge_log where logged_at < u.until) l`, by.Retention, by.Before).Scan(&until, &last, &chain, &checkpoint)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && last == nil {
		return nil, nil
	}
	if err != nil {
		return nil, pg.Wrap("look for months of the purge log to prune", err)
	}
	size := *last + 1
	check := Check{Sizes: []uint64{uint64(size)}, to: size, Workers: by.Workers, Progress: by.Progress}
	var signed proof.Checkpoint
	if checkpoint != nil {
		if signed, err = proof.OpenCheckpoint([]byte(*checkpoint)); err != nil {
			return nil, fmt.Errorf("%w (%w)", ErrUnsound, err)
		}
		check.Sizes = append(check.Sizes, signed.Size)
	}
	v, err := check.Run(ctx, conn)
	if err != nil {
		return nil, err
	}
	tree := v.trees[uint64(size)]
	switch {
	case len(v.Problems) > 0:
		return nil, fmt.Errorf("%w (entry %d: %s)", ErrUnsound, v.Problems[0].Seq, v.Problems[0].Text)
	case tree == nil || len(chain) != 32 || checkpoint != nil && v.Roots[signed.Size] != signed.Root:
		return nil, fmt.Errorf("%w (the checkpoint of %d entries has another root)", ErrUnsound, signed.Size)
	}
	c.Until, c.Entries = *until, size-v.First
	c.prune = proof.Prune{Size: size, ChainHash: chain, Hashes: slices.Concat(tree.Hashes()...)}
	c.prune.Origin, err = OriginAt(ctx, conn, uint64(size))
	return c, err
}

// Prune appends the entry that tells of the prune and drops the months, in one
// transaction: a kill at any moment leaves all of them or none. Nothing may be
// pending. When it fails, as it does beside a reader of the log that takes more
// than two seconds, the log is as it was and goes on.
func (l *Log) Prune(ctx context.Context, c *Candidate) (err error) {
	if l.tx != nil {
		return errors.New("prune the purge log: something is pending; flush it first")
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		if l.tx != nil {
			if e := l.tx.Rollback(context.WithoutCancel(ctx)); e != nil && !errors.Is(e, pgx.ErrTxClosed) {
				err = errors.Join(err, pg.Wrap("give up pruning the purge log", e))
			}
		}
		l.tx, l.entries, l.parts, l.rows = nil, nil, nil, 0
	}()
	p := c.prune
	p.EntrySeq = int64(l.pending.tree.Size())
	reference := p.Reference(fmt.Sprintf("%s; pruned: entries %d to %d, the months before %s", c.by.Reason, p.Size-c.Entries, p.Size-1, c.Until.UTC().Format("2006-01")))
	basis := "retention of the purge log " + c.by.Label
	if err := l.append(proof.Entry{
		Kind: proof.KindPrune, CommitLSN: l.pending.applied, Actor: &c.by.Actor, Reference: &reference, Basis: &basis, Cutoff: &c.Until, RowCount: &c.Entries,
	}); err != nil {
		return err
	}
	if err := l.write(ctx); err != nil {
		return err
	}
	if _, err := l.tx.Exec(ctx, `set local lock_timeout = '`+pruneWait+`'`); err != nil {
		return pg.Wrap("prune the purge log", err)
	}
	if _, err := l.tx.Exec(ctx, `select sweeper.prune_log($1, $2, $3, $4, $5)`, p.Size, p.ChainHash, p.Hashes, p.EntrySeq, c.Until); err != nil {
		return pg.WrapCall("prune the purge log", err)
	}
	_, err = l.Flush(ctx)
	return err
}
