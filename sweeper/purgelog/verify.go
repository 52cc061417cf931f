package purgelog

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// Verification is what Verify found.
type Verification struct {
	First   int64 // the first entry that is there: those before were pruned
	Entries int64 // checked
	Rows    int64 // row commitments checked
	// Entries of these kinds; a log that has them may be whole.
	Mismatches, Gaps int64
	Root             [32]byte
	Roots            map[uint64][32]byte // of the trees of Check.Sizes, as far as the log reaches and was not pruned
	Problems         []proof.Problem     // none: the log is whole

	trees map[uint64]*proof.Tree // those of which Roots has the roots
}

// note keeps a tree that was asked for.
func (v *Verification) note(tree *proof.Tree) {
	v.Roots[tree.Size()], v.trees[tree.Size()] = tree.Root(), tree.Clone()
}

// mostProblems is how many problems are told; one break can touch every later
// entry.
const mostProblems = 20

// Check says how a log is to be verified. The zero Check is all of it.
type Check struct {
	From     int64    // of the entries before it the stored hashes are believed, and their rows are not looked at
	Sizes    []uint64 // trees whose roots are to be told
	Workers  int      // connections that read at the same time; 0: one for each processor, up to four
	Progress func(done, total int64)

	segment int64 // entries that one connection reads at a time; 0: segmentSize
	to      int64 // of the entries from it on the stored hashes are believed as well; 0: of none
}

// believed tells whether of an entry only the stored hashes are looked at.
func (c *Check) believed(seq int64) bool { return seq < c.From || c.to > 0 && seq >= c.to }

// Verify recomputes the whole log from its rows, in one snapshot: leaf hashes,
// chain, tree, row commitments, and the head they must lead to.
func Verify(ctx context.Context, conn *pgx.Conn, progress func(done, total int64)) (Verification, error) {
	return Check{Progress: progress}.Run(ctx, conn)
}

// Run verifies the log that conn reads. Segments of it are read by several
// connections in the snapshot of conn; when any of them is not as it must be,
// the log is read once more from its first entry, one after the other, which
// finds every problem and tells it in the words of function verify_chain. Memory
// does not grow with the log.
func (c Check) Run(ctx context.Context, conn *pgx.Conn) (Verification, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Verification{}, pg.Wrap("verify the purge log", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := readAll(ctx, tx); err != nil {
		return Verification{}, err
	}
	v := &verification{Check: c, tx: tx}
	if v.head, err = readHead(ctx, tx); err != nil {
		return Verification{}, err
	}
	if v.pruned, err = readPrune(ctx, tx); err != nil {
		return Verification{}, err
	}
	if v.pruned != nil {
		v.first = v.pruned.Size
	}
	if err := tx.QueryRow(ctx, `select coalesce(max(seq), -1) from sweeper.purge_log`).Scan(&v.last); err != nil {
		return Verification{}, pg.Wrap("look for the last entry of the purge log", err)
	}
	v.From = max(v.From, v.first)
	v.Sizes = slices.Clone(v.Sizes)
	slices.Sort(v.Sizes)
	if v.Check.segment == 0 {
		v.Check.segment = segmentSize
	}
	out, whole, err := v.fast(ctx)
	if err == nil && !whole {
		out, err = v.slow(ctx)
	}
	out.First = v.first
	if tree, _, e := v.begin(); e == nil && slices.Contains(v.Sizes, tree.Size()) && err == nil {
		out.note(tree) // that of all that was pruned is known
	}
	return out, err
}

// readAll sets a session for a long read of everything. Row security that hides
// entries must be an error, not a shorter log; and the entries come by the order
// of their index, never by a sort of so many rows.
func readAll(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `set local row_security = off; set local idle_in_transaction_session_timeout = 0;
		set local enable_sort = off; set local enable_bitmapscan = off; set local max_parallel_workers_per_gather = 0`)
	return pg.Wrap("verify the purge log", err)
}

func readHead(ctx context.Context, tx pgx.Tx) (proof.Head, error) {
	var h proof.Head
	err := tx.QueryRow(ctx, `select size, chain_hash, hashes, root from sweeper.log_head`).Scan(&h.Size, &h.ChainHash, &h.Hashes, &h.Root)
	return h, pg.Wrap("read the head of the purge log (it begins with the first sweep)", err)
}

// readPrune reads what was pruned last; nil: nothing ever was.
func readPrune(ctx context.Context, tx pgx.Tx) (*proof.Prune, error) {
	var p proof.Prune
	var reference *string
	err := tx.QueryRow(ctx, `
		select p.size, p.chain_hash, p.hashes, p.entry_seq, (select l.reference from sweeper.purge_log l where l.seq = p.entry_seq and l.kind = 'log_prune' limit 1)
		  from sweeper.log_prunes p order by p.size desc limit 1`).Scan(&p.Size, &p.ChainHash, &p.Hashes, &p.EntrySeq, &reference)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	p.Origin = proof.PrunedOrigin(value(reference))
	return &p, pg.Wrap("read what was pruned from the purge log", err)
}

// verification is one Check on its way.
type verification struct {
	Check
	tx     pgx.Tx
	head   proof.Head
	pruned *proof.Prune
	first  int64
	last   int64 // the largest seq, which may be a forged one, as the head may

	mu   sync.Mutex // guards done
	done int64      // entries that were read
}

func (v *verification) progress(n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += n
	if v.Progress != nil && v.done >= tellEvery { // a short log is done before anybody looks
		v.Progress(v.done, v.head.Size-v.first)
	}
}

// tellEvery is after how many entries the progress hears of them.
const tellEvery = 4096

// segments are the numbers of those that the log has. Whatever is behind the end,
// the last one reads it too.
func (v *verification) segments() (begin, end int64) {
	begin = max(0, v.first/v.Check.segment)
	return begin, max(begin+1, min(v.head.Size-1, v.last)/v.Check.segment+1)
}

// segmentSize is how many entries one connection reads at a time: a perfect
// subtree.
const segmentSize = 1 << 16

// fast verifies by segments. It tells only whether all is well.
func (v *verification) fast(ctx context.Context) (out Verification, whole bool, err error) {
	workers := v.Workers
	if workers == 0 {
		workers = min(4, runtime.GOMAXPROCS(0))
	}
	begin, end := v.segments()
	workers = int(min(int64(workers), end-begin))
	conns, closing, err := v.connections(ctx, workers)
	defer closing()
	if err != nil {
		return out, false, err
	}
	all := make([]*segment, end-begin)
	var mu sync.Mutex
	next, broken := begin, false
	take := func(done *segment) (int64, bool) { // the next to be read
		mu.Lock()
		defer mu.Unlock()
		if done != nil && !done.whole {
			broken = true
		}
		next++
		return next - 1, next <= end && !broken
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range conns {
		group.Go(func() error {
			var s *segment
			for {
				i, ok := take(s)
				if !ok {
					return nil
				}
				var err error
				if s, err = v.read(ctx, conn, i, begin, end); err != nil {
					return err
				}
				all[i-begin] = s
			}
		})
	}
	if err := group.Wait(); err != nil {
		return out, false, err
	}
	return v.join(all)
}

// connections are conn and others like it, in its snapshot. One that cannot be
// had is done without.
func (v *verification) connections(ctx context.Context, n int) (all []*pgx.Conn, closing func(), err error) {
	all = []*pgx.Conn{v.tx.Conn()}
	closing = func() {
		for _, c := range all[1:] {
			_ = c.Close(context.WithoutCancel(ctx))
		}
	}
	if n < 2 {
		return all, closing, nil
	}
	var snapshot string
	if err := v.tx.QueryRow(ctx, `select pg_export_snapshot()`).Scan(&snapshot); err != nil {
		return all, closing, pg.Wrap("verify the purge log", err)
	}
	for len(all) < n {
		c, err := pgx.ConnectConfig(ctx, v.tx.Conn().Config())
		if err != nil {
			return all, closing, ctx.Err()
		}
		all = append(all, c)
		tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err == nil {
			_, err = tx.Exec(ctx, "set transaction snapshot '"+strings.ReplaceAll(snapshot, "'", "")+"'")
		}
		if err == nil {
			err = readAll(ctx, tx)
		}
		if err != nil {
			return all, closing, pg.Wrap("verify the purge log", err)
		}
	}
	return all, closing, nil
}

// join puts the segments together.
func (v *verification) join(segments []*segment) (out Verification, whole bool, err error) {
	tree, chain, err := v.begin()
	if err != nil {
		return out, false, nil // the record of the prune is not one; slow tells
	}
	out.Roots, out.trees = map[uint64][32]byte{}, map[uint64]*proof.Tree{}
	named := 0
	for i, s := range segments {
		if s == nil || !s.whole {
			return out, false, nil
		}
		if s.entries > 0 && s.links != proof.Chain(chain, s.leaf) {
			return out, false, nil
		}
		for _, part := range s.parts {
			before := tree.Clone()
			if i == 0 {
				before = &proof.Tree{}
			}
			if err := before.Join(part); err != nil {
				return out, false, err
			}
			out.note(before)
		}
		if i == 0 {
			tree = s.tree // it goes on from what was pruned
		} else if err := tree.Join(s.tree); err != nil {
			return out, false, nil
		}
		if s.entries > 0 {
			chain = s.chain
		}
		out.Entries += s.entries
		out.Rows += s.rows
		out.Mismatches += s.mismatches
		out.Gaps += s.gaps
		named += s.named
	}
	out.Root = tree.Root()
	last := proof.NewVerifierAfter(tree, chain)
	return out, last.Compare(v.head) == nil && (v.pruned == nil || named == 1), nil
}

// begin is the tree and the chain that the log goes on from.
func (v *verification) begin() (*proof.Tree, [32]byte, error) {
	if v.pruned == nil {
		return &proof.Tree{}, [32]byte{}, nil
	}
	tree, err := v.pruned.Tree()
	if err != nil {
		return nil, [32]byte{}, err
	}
	return tree, [32]byte(v.pruned.ChainHash), nil
}
