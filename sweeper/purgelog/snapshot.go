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

// Snapshot is the log at one moment: what checkpoints are made of and held
// against. Close it.
type Snapshot struct {
	tx        pgx.Tx
	Size      uint64   // entries; 0: the log has not begun
	Root      [32]byte // of the tree over them, as log_head says
	Landmarks proof.Landmarks
	Epochs    []proof.Epoch // the last one is the log's own
	pruned    *proof.Tree   // over the entries that are gone
	leafHash  []byte        // scratch
}

// Snap looks at the log. conn is busy until Close.
func Snap(ctx context.Context, conn *pgx.Conn) (*Snapshot, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, pg.Wrap("look at the purge log", err)
	}
	s := &Snapshot{tx: tx, Root: (&proof.Tree{}).Root(), pruned: &proof.Tree{}}
	if err := s.read(ctx); err != nil {
		s.Close(ctx)
		return nil, err
	}
	return s, nil
}

// Close ends the snapshot.
func (s *Snapshot) Close(ctx context.Context) { _ = s.tx.Rollback(context.WithoutCancel(ctx)) }

func (s *Snapshot) read(ctx context.Context) error {
	// Row security that hides entries must be an error, not a shorter log.
	if _, err := s.tx.Exec(ctx, `set local row_security = off`); err != nil {
		return pg.Wrap("look at the purge log", err)
	}
	var root, edge []byte
	err := s.tx.QueryRow(ctx, `select size, root from sweeper.log_head`).Scan(&s.Size, &root)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return pg.Wrap("read the head of the purge log", err)
	}
	if err == nil && len(root) != len(s.Root) {
		return fmt.Errorf("%w: log_head.root is no hash", ErrBroken)
	}
	copy(s.Root[:], root)
	var size uint64
	err = s.tx.QueryRow(ctx, `select size, hashes from sweeper.log_prunes order by size desc limit 1`).Scan(&size, &edge)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return pg.Wrap("read what was pruned of the purge log", err)
	}
	if s.pruned, err = proof.ReadTree(size, edge); err != nil {
		return fmt.Errorf("%w: log_prunes: %w", ErrBroken, err)
	}
	return s.landmarks(ctx)
}

const landmarksSQL = entrySQL + `where kind in ('genesis', 'key_rotation', 'fork') order by seq`

func readLandmarks(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
},
) (proof.Landmarks, error) {
	rows, err := q.Query(ctx, landmarksSQL)
	if err != nil {
		return nil, pg.Wrap("read the keys of the purge log", err)
	}
	all, err := pgx.CollectRows(rows, scanEntry)
	for i := range all {
		if len(all[i].LeafHash) != 32 {
			return nil, fmt.Errorf("%w: entry %d has no leaf hash", ErrBroken, all[i].Seq)
		}
	}
	return all, pg.Wrap("read the keys of the purge log", err)
}

func (s *Snapshot) landmarks(ctx context.Context) (err error) {
	if s.Landmarks, err = readLandmarks(ctx, s.tx); err != nil {
		return err
	}
	s.Epochs = s.Landmarks.Epochs()
	if s.Size == 0 || len(s.Epochs) > 0 && s.Epochs[0].Origin != "" {
		return nil
	}
	// Its first entry was pruned: the entry of that names the origin.
	first := proof.Epoch{End: ^uint64(0)}
	if len(s.Epochs) > 0 {
		first = s.Epochs[0]
		s.Epochs = s.Epochs[1:]
	}
	var reference *string
	err = s.tx.QueryRow(ctx, `select l.reference from sweeper.log_prunes p join sweeper.purge_log l on l.seq = p.entry_seq and l.kind = 'log_prune' order by p.size desc limit 1`).Scan(&reference)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return pg.Wrap("look for the origin of the purge log", err)
	}
	if reference != nil {
		first.Origin = proof.PrunedOrigin(*reference)
	}
	s.Epochs = slices.Insert(s.Epochs, 0, first)
	return nil
}

// Epoch is the log's present life; the zero Epoch when it has not begun.
func (s *Snapshot) Epoch() proof.Epoch {
	if len(s.Epochs) == 0 {
		return proof.Epoch{}
	}
	return s.Epochs[len(s.Epochs)-1]
}

// Origins are all that the log knows to have been its own.
func (s *Snapshot) Origins() map[string]bool {
	known := map[string]bool{}
	for _, e := range s.Epochs {
		known[e.Origin] = true
	}
	for i := range s.Landmarks {
		if f, err := proof.OpenFork(&s.Landmarks[i]); err == nil {
			known[f.Origin] = true
			for _, b := range f.Anchors {
				known[b.Origin] = true
			}
		}
	}
	delete(known, "")
	return known
}

// Extend grows a tree over the first entries by the leaf hashes of those that
// follow, up to a size.
func (s *Snapshot) Extend(ctx context.Context, tree *proof.Tree, size uint64) error {
	return s.pass(ctx, tree, size, nil)
}

// Trees gives the tree at each of sizes, from one pass over the leaf hashes.
// Sizes inside of what was pruned, or beyond the log, have none.
func (s *Snapshot) Trees(ctx context.Context, sizes []uint64) (map[uint64]*proof.Tree, error) {
	found := map[uint64]*proof.Tree{}
	sizes = slices.DeleteFunc(slices.Clone(sizes), func(n uint64) bool { return n < s.pruned.Size() || n > s.Size })
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	if len(sizes) == 0 {
		return found, nil
	}
	tree := s.pruned.Clone()
	at := func() {
		if len(sizes) > 0 && tree.Size() == sizes[0] {
			found[tree.Size()] = tree.Clone()
			sizes = sizes[1:]
		}
	}
	at()
	last := tree.Size()
	if len(sizes) > 0 {
		last = sizes[len(sizes)-1]
	}
	return found, s.pass(ctx, tree, last, at)
}

// pass appends leaf hashes to a tree until it has a size, and calls after
// behind each.
func (s *Snapshot) pass(ctx context.Context, tree *proof.Tree, size uint64, after func()) error {
	if tree.Size() >= size {
		return nil
	}
	rows, err := s.tx.Query(ctx, `select seq, leaf_hash from sweeper.purge_log where seq >= $1 and seq < $2 order by seq, logged_at`, int64(tree.Size()), int64(size))
	if err != nil {
		return pg.Wrap("read the leaf hashes of the purge log", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq uint64
		if err := rows.Scan(&seq, (*pgBytes)(&s.leafHash)); err != nil {
			return pg.Wrap("read the leaf hashes of the purge log", err)
		}
		if seq != tree.Size() || len(s.leafHash) != 32 {
			return fmt.Errorf("%w: entry %d is missing or stands twice", ErrBroken, tree.Size())
		}
		tree.Append([32]byte(s.leafHash))
		if after != nil {
			after()
		}
	}
	if err := rows.Err(); err != nil {
		return pg.Wrap("read the leaf hashes of the purge log", err)
	}
	if tree.Size() != size {
		return fmt.Errorf("%w: entry %d is missing", ErrBroken, tree.Size())
	}
	return nil
}

// pgBytes scans a bytea into memory that is used again.
type pgBytes []byte

// ScanBytes copies what the driver shows.
func (b *pgBytes) ScanBytes(v []byte) error {
	*b = append((*b)[:0], v...)
	return nil
}

// Kept is a checkpoint as the database has it.
type Kept struct {
	ID       int64
	Origin   string
	Size     uint64
	Root     []byte
	Hashes   []byte
	Note     string
	SignedBy []string
	MadeAt   time.Time
	Anchors  []string // that it was kept at
}

const keptSQL = `select c.checkpoint_id, c.origin, c.size, c.root, c.hashes, c.note, c.signed_by, c.made_at,
	array(select a.anchor from sweeper.checkpoint_anchors a where a.checkpoint_id = c.checkpoint_id order by 1) from sweeper.checkpoints c `

// Checkpoints are those of the database, the smallest first.
func (s *Snapshot) Checkpoints(ctx context.Context) ([]Kept, error) {
	return s.kept(ctx, keptSQL+`order by c.size, c.checkpoint_id`)
}

// Newest is the largest checkpoint of a log that an anchor was given; "" is
// any anchor or none. nil: there is no such checkpoint.
func (s *Snapshot) Newest(ctx context.Context, origin, anchor string) (*Kept, error) {
	all, err := s.kept(ctx, keptSQL+`where c.origin = $1 and ($2 = '' or exists (select from sweeper.checkpoint_anchors a where a.checkpoint_id = c.checkpoint_id and a.anchor = $2))
		order by c.size desc, c.checkpoint_id desc limit 1`, origin, anchor)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// Of is the checkpoint of a log at a size, nil when there is none.
func (s *Snapshot) Of(ctx context.Context, origin string, size uint64) (*Kept, error) {
	all, err := s.kept(ctx, keptSQL+`where c.origin = $1 and c.size = $2 order by c.checkpoint_id limit 1`, origin, int64(size))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// Since are the first checkpoints of a log from a size on.
func (s *Snapshot) Since(ctx context.Context, origin string, from uint64) ([]Kept, error) {
	return s.kept(ctx, keptSQL+`where c.origin = $1 and c.size >= $2 order by c.size, c.checkpoint_id limit 16`, origin, int64(from))
}

// Pruned is the tree over the entries that were pruned; empty when none were.
func (s *Snapshot) Pruned() *proof.Tree { return s.pruned }

func (s *Snapshot) kept(ctx context.Context, sql string, args ...any) ([]Kept, error) {
	rows, err := s.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, pg.Wrap("read the checkpoints", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Kept])
	return all, pg.Wrap("read the checkpoints", err)
}

// Tree gives the tree at a size whose root is known to be true: from the edge
// that was kept with a checkpoint, which that root proves, else from all leaf
// hashes. nil: the entries there were pruned and nothing was kept.
func (s *Snapshot) Tree(ctx context.Context, origin string, size uint64, root [32]byte) (*proof.Tree, error) {
	kept, err := s.Of(ctx, origin, size)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		if tree, err := proof.ReadTree(size, kept.Hashes); err == nil && tree.Root() == root {
			return tree, nil
		}
	}
	all, err := s.Trees(ctx, []uint64{size})
	return all[size], err
}

// Settled is how many entries of the log are at least so old.
func (s *Snapshot) Settled(ctx context.Context, age time.Duration) (uint64, error) {
	if age == 0 {
		return s.Size, nil
	}
	var young *uint64
	err := s.tx.QueryRow(ctx, `select min(seq) from sweeper.purge_log where logged_at > now() - $1::interval`, age).Scan(&young)
	if err != nil || young == nil {
		return s.Size, pg.Wrap("look how old the purge log's entries are", err)
	}
	return min(*young, s.Size), nil
}

// Keep writes a checkpoint into the database, with the edge of its tree.
func Keep(ctx context.Context, conn *pgx.Conn, c proof.Checkpoint, tree *proof.Tree, note []byte, signedBy []string) (id int64, err error) {
	err = conn.QueryRow(ctx, `insert into sweeper.checkpoints (origin, size, root, hashes, note, signed_by) values ($1, $2, $3, $4, $5, $6) returning checkpoint_id`,
		c.Origin, int64(c.Size), c.Root[:], slices.Concat(tree.Hashes()...), string(note), signedBy).Scan(&id)
	return id, pg.Wrap("keep a checkpoint", err)
}

// KeptAt notes that an anchor has a checkpoint.
func KeptAt(ctx context.Context, conn *pgx.Conn, id int64, anchor string) error {
	_, err := conn.Exec(ctx, `insert into sweeper.checkpoint_anchors (checkpoint_id, anchor) values ($1, $2) on conflict do nothing`, id, anchor)
	return pg.Wrap("note where a checkpoint is kept", err)
}
