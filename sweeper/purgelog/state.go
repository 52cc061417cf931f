package purgelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// ahead is how far ahead the log's monthly partitions are made.
const ahead = 90 * 24 * time.Hour

// load reads head and progress; found is false on a log that never began.
func (l *Log) load(ctx context.Context) (found bool, err error) {
	s := state{}
	var size uint64
	var chain, hashes, root []byte
	err = l.conn.QueryRow(ctx, `select size, chain_hash, hashes, root, updated_at from sweeper.log_head`).Scan(&size, &chain, &hashes, &root, &s.loggedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, pg.Wrap("read the head of the purge log", err)
	}
	copy(s.chain[:], chain)
	if s.tree, err = proof.ReadTree(size, hashes); err != nil {
		return false, err
	}
	if follows := s.tree.Root(); !bytes.Equal(root, follows[:]) {
		return false, fmt.Errorf("%w (log_head.root does not follow from log_head.hashes, so somebody has changed one of them)", ErrBroken)
	}
	var r reconcile
	var since *time.Time
	err = l.conn.QueryRow(ctx, `select applied_lsn, coalesce(timeline, 0), coalesce(looked_lsn, '0/0'), coalesce(reconcile_lsn, '0/0'), reconcile_since, coalesce(reconcile_snapshot::text, '')
		from sweeper.log_progress where source = $1`, l.source).Scan(&s.applied, &s.timeline, &s.looked, &r.lsn, &since, &r.snapshot)
	if since != nil {
		r.since = *since
		s.reconcile = &r
	}
	l.committed = s
	if errors.Is(err, pgx.ErrNoRows) {
		return true, ErrForeign
	}
	return true, pg.Wrap("read the progress of the purge log", err)
}

// genesis begins the log: where it starts to witness, on which server, and with
// which keys.
func (l *Log) genesis(ctx context.Context, timeline int) error {
	l.committed = state{tree: &proof.Tree{}, applied: l.o.Confirmed, timeline: timeline}
	keys, err := l.firstKeys()
	if err != nil {
		return err
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	if err := l.append(proof.Entry{Kind: proof.KindGenesis, CommitLSN: l.o.Confirmed, Reference: keys}); err != nil {
		return err
	}
	_, err = l.Flush(ctx)
	return err
}

// Gap says in the log that it ends here for now: what is committed from now on
// is not witnessed. It is durable when Gap returns, with everything pending.
func (l *Log) Gap(ctx context.Context, reference string) error {
	return l.gap(ctx, 0, reference)
}

// gap appends the entry of a gap and goes on at an LSN, unless the log is there
// already. What was reported and not logged is compared later.
func (l *Log) gap(ctx context.Context, to uint64, reference string) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	l.pending.applied = max(l.pending.applied, to)
	if err := l.compareLater(ctx); err != nil {
		return err
	}
	if err := l.append(proof.Entry{Kind: "gap", CommitLSN: l.pending.applied, Reference: &reference}); err != nil {
		return err
	}
	_, err := l.Flush(ctx)
	return err
}

// bridge goes on with a slot that is ahead of the log. What lies between was
// never logged, and never can be: that becomes an entry with both ends, whoever
// it was that moved the slot.
func (l *Log) bridge(ctx context.Context) error {
	var renewed *uint64
	err := l.conn.QueryRow(ctx, `select renewed_lsn from sweeper.log_progress where source = $1`, l.source).Scan(&renewed)
	if err != nil {
		return pg.Wrap("look for a slot that was made anew", err)
	}
	how := "was advanced or made anew by somebody else than sweeper"
	if renewed != nil && *renewed >= l.committed.applied {
		how = "was made anew"
	}
	text := fmt.Sprintf("slot %s %s: what was committed from %s to %s was never logged", l.o.Slot, how, lsnText(l.committed.applied), lsnText(l.o.Confirmed))
	if err := l.gap(ctx, l.o.Confirmed, text); err != nil {
		return err
	}
	l.o.Log.ErrorContext(ctx, "the purge log has a gap", slog.String("why", text))
	return nil
}

// lsnText is an LSN as PostgreSQL writes it.
func lsnText(lsn uint64) string { return fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn)) }

// ensurePartitions makes the log's partitions well ahead of time.
func (l *Log) ensurePartitions(ctx context.Context) error {
	err := l.conn.QueryRow(ctx, `select now() from (select sweeper.ensure_log_partitions(now() + $1::interval)) x`, ahead).Scan(&l.ensured)
	l.ensured = l.ensured.Add(ahead / 2)
	return pg.Wrap("create partitions of the purge log", err)
}

// begin opens the transaction that the next entries go into.
func (l *Log) begin(ctx context.Context) error {
	if l.tx != nil {
		return nil
	}
	l.pending = l.committed
	l.pending.tree = l.committed.tree.Clone()
	tx, err := l.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return pg.Wrap("begin to append to the purge log", err)
	}
	// A commit that is not on disk must never be acknowledged.
	if err := tx.QueryRow(ctx, `select now() from (select set_config('synchronous_commit', 'on', true)) x`).Scan(&l.now); err != nil {
		return pg.Wrap("begin to append to the purge log", err)
	}
	if l.now.Before(l.committed.loggedAt) {
		l.now = l.committed.loggedAt // the clock went back; the log's order does not
	}
	l.tx = tx
	return nil
}

// append gives an entry its place in chain and tree.
func (l *Log) append(e proof.Entry) error {
	e.Seq = int64(l.pending.tree.Size())
	e.LoggedAt, e.Source = l.now, l.source
	leaf, err := e.Leaf()
	if err != nil {
		return err
	}
	hash := proof.HashLeaf(leaf)
	l.pending.tree.Append(hash)
	l.pending.chain = proof.Chain(l.pending.chain, hash)
	l.pending.loggedAt = l.now
	e.LeafHash, e.ChainHash = hash[:], append([]byte(nil), l.pending.chain[:]...)
	l.entries = append(l.entries, e)
	return nil
}
