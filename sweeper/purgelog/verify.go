package purgelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
func (v *Verification) note(tree *proof.Tree) error {
	again, err := proof.NewTree(tree.Size(), tree.Hashes())
	if err == nil {
		v.Roots[tree.Size()], v.trees[tree.Size()] = tree.Root(), again
	}
	return err
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
		err = out.note(tree) // that of all that was pruned is known
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

// segments are the numbers of those that the log has.
func (v *verification) segments() (begin, end int64) {
	begin = v.first / v.Check.segment
	return begin, max(begin+1, (v.head.Size+v.Check.segment-1)/v.Check.segment)
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
			before, err := proof.NewTree(tree.Size(), tree.Hashes())
			if err != nil {
				return out, false, err
			}
			if i == 0 {
				before = &proof.Tree{}
			}
			if err := before.Join(part); err != nil {
				return out, false, err
			}
			if err := out.note(before); err != nil {
				return out, false, err
			}
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
	last, err := proof.NewVerifierAfter(tree, chain)
	if err != nil {
		return out, false, err
	}
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

// segment is what one connection made of the entries of one perfect subtree.
type segment struct {
	whole      bool // as far as it can be told from the segment alone
	entries    int64
	rows       int64
	mismatches int64
	gaps       int64
	tree       *proof.Tree
	leaf       [32]byte               // of the first entry
	links      [32]byte               // its chain hash
	chain      [32]byte               // that of the last one
	parts      map[uint64]*proof.Tree // of the segment up to the sizes that are asked for
	named      int                    // entries that the record of the prune names, and that say the same
}

const (
	entryFields = `seq, logged_at, committed_at, commit_lsn, xid, source, kind, reason, category, relation, partition, tenant, subject_digest, cutoff,
	basis, actor, reference, request_id, run_id, policy_sha256, row_count, columns, objects_removed, rows_root, leaf_hash, chain_hash`
	fieldKind      = 6
	fieldReference = 16
	fieldRowCount  = 20
	fieldRowsRoot  = 23
	fieldLeafHash  = 24
	fieldChainHash = 25
	fieldsOfEntry  = 26
)

// between is the condition of a segment. The first and the last reach to the
// end of all numbers, so that nothing stands outside of them.
func (v *verification) between(i, begin, end int64) string {
	var all []string
	if i > begin {
		all = append(all, fmt.Sprintf("seq >= %d", i*v.Check.segment))
	}
	if i < end-1 {
		all = append(all, fmt.Sprintf("seq < %d", (i+1)*v.Check.segment))
	}
	if len(all) == 0 {
		return ""
	}
	return " where " + strings.Join(all, " and ")
}

// read reads one segment.
func (v *verification) read(ctx context.Context, conn *pgx.Conn, i, begin, end int64) (*segment, error) {
	s := &segment{tree: &proof.Tree{}, whole: true, parts: map[uint64]*proof.Tree{}}
	next := i * v.Check.segment
	if i == begin {
		var err error
		if s.tree, _, err = v.begin(); err != nil {
			return &segment{}, nil
		}
		next = v.first
	}
	where := v.between(i, begin, end)
	r := &entryReader{v: v, s: s, next: next}
	err := copyOut(ctx, conn, "read the purge log", `select `+entryFields+` from sweeper.purge_log`+where+` order by seq, logged_at`, fieldsOfEntry, r.entry)
	v.progress(r.told)
	if err != nil || !s.whole {
		return s, err
	}
	rows := &rowsReader{due: r.due, believed: v.believed}
	err = copyOut(ctx, conn, "read row commitments", `select seq, logged_at, part, commitments from sweeper.purge_rows`+where+` order by seq, part`, 4, rows.part)
	if err == nil {
		rows.close()
	}
	s.rows, s.whole = rows.count, s.whole && rows.problems == nil
	return s, err
}

// entryReader reads the entries of a segment.
type entryReader struct {
	v     *verification
	s     *segment
	next  int64 // seq that is due
	told  int64 // entries not yet told to the progress
	chain [32]byte
	leaf  []byte // scratch
	due   []rowsDue
}

// entry takes the next one. What follows on something that is wrong is read and
// not looked at: COPY ends early only with its connection.
func (r *entryReader) entry(fields [][]byte) error {
	s := r.s
	if !s.whole {
		return nil
	}
	seq, loggedAt, err := place(fields)
	if err != nil {
		return err
	}
	if seq != r.next || len(fields[fieldLeafHash]) != 32 || len(fields[fieldChainHash]) != 32 {
		s.whole = false
		return nil
	}
	hash, chain := [32]byte(fields[fieldLeafHash]), [32]byte(fields[fieldChainHash])
	if !r.v.believed(seq) {
		if r.leaf, err = proof.AppendColumns(r.leaf[:0], fields); err != nil {
			return err
		}
		if proof.HashLeaf(r.leaf) != hash {
			s.whole = false
			return nil
		}
	}
	if s.entries == 0 {
		s.leaf, s.links = hash, chain
	} else if proof.Chain(r.chain, hash) != chain {
		s.whole = false
		return nil
	}
	r.chain, s.chain = chain, chain
	s.tree.Append(hash)
	s.entries++
	r.next++
	if _, wanted := slices.BinarySearch(r.v.Sizes, uint64(r.next)); wanted {
		if s.parts[uint64(r.next)], err = proof.NewTree(s.tree.Size(), s.tree.Hashes()); err != nil {
			return err
		}
	}
	switch string(fields[fieldKind]) {
	case proof.KindMismatch:
		s.mismatches++
	case proof.KindGap:
		s.gaps++
	}
	if p := r.v.pruned; p != nil && seq == p.EntrySeq {
		if r.v.checkPrune(seq, fields) != nil {
			s.whole = false
			return nil
		}
		s.named++
	}
	if !r.v.believed(seq) && fields[fieldRowsRoot] != nil {
		r.due = append(r.due, newRowsDue(seq, loggedAt, fields))
	}
	if r.told++; r.told == tellEvery {
		r.v.progress(r.told)
		r.told = 0
	}
	return nil
}

// checkPrune compares the record of the prune with the entry that it names.
func (v *verification) checkPrune(seq int64, fields [][]byte) []proof.Problem {
	if v.pruned == nil || seq != v.pruned.EntrySeq {
		return nil
	}
	e := proof.Entry{Seq: seq, Kind: string(fields[fieldKind])}
	if fields[fieldReference] != nil {
		e.Reference = text(string(fields[fieldReference]))
	}
	return v.pruned.Check(&e)
}

// place reads the first two columns of both tables of the log.
func place(fields [][]byte) (seq, loggedAt int64, err error) {
	if len(fields[0]) != 8 || len(fields[1]) != 8 {
		return 0, 0, errCopy
	}
	return int64(binary.BigEndian.Uint64(fields[0])), int64(binary.BigEndian.Uint64(fields[1])), nil
}

// slow reads the log from its first entry on, and tells what is wrong.
func (v *verification) slow(ctx context.Context) (Verification, error) {
	v.mu.Lock()
	v.done = 0
	v.mu.Unlock()
	r := &problemReader{v: v, verifier: proof.NewVerifier()}
	r.out.Roots, r.out.trees = map[uint64][32]byte{}, map[uint64]*proof.Tree{}
	if v.pruned != nil {
		var err error
		if r.verifier, err = v.pruned.Verifier(); err != nil {
			r.add(proof.Problem{Seq: v.first, Text: "log_prunes has not the form of a prune"})
			r.verifier = proof.NewVerifier()
		}
	}
	conn := v.tx.Conn()
	begin, end := v.segments()
	for i := begin; i < end; i++ {
		where := v.between(i, begin, end)
		r.due = r.due[:0]
		err := copyOut(ctx, conn, "read the purge log", `select `+entryFields+` from sweeper.purge_log`+where+` order by seq, logged_at`, fieldsOfEntry, r.entry)
		if err != nil {
			return r.out, err
		}
		rows := &rowsReader{due: r.due, believed: v.believed}
		err = copyOut(ctx, conn, "read row commitments", `select seq, logged_at, part, commitments from sweeper.purge_rows`+where+` order by seq, part`, 4, rows.part)
		if err != nil {
			return r.out, err
		}
		rows.close()
		r.add(rows.problems...)
		r.out.Rows += rows.count
	}
	if v.pruned != nil && !r.pruned {
		r.add(proof.Problem{Seq: v.pruned.EntrySeq, Text: "log_prunes names this entry, which is not there"})
	}
	r.add(r.verifier.Compare(v.head)...)
	r.out.Root = r.verifier.Tree().Root()
	return r.out, nil
}

// problemReader reads entries and keeps what is wrong with them.
type problemReader struct {
	v        *verification
	verifier *proof.Verifier
	out      Verification
	leaf     []byte // scratch
	due      []rowsDue
	pruned   bool // the entry of the prune went by
}

func (r *problemReader) add(found ...proof.Problem) {
	room := max(0, mostProblems-len(r.out.Problems))
	r.out.Problems = append(r.out.Problems, found[:min(room, len(found))]...)
}

func (r *problemReader) entry(fields [][]byte) error {
	seq, loggedAt, err := place(fields)
	if err != nil {
		return err
	}
	var leaf []byte
	if !r.v.believed(seq) {
		if r.leaf, err = proof.AppendColumns(r.leaf[:0], fields); err != nil {
			return err
		}
		leaf = r.leaf
	}
	r.add(r.verifier.AddLeaf(seq, leaf, fields[fieldLeafHash], fields[fieldChainHash])...)
	tree := r.verifier.Tree()
	if _, wanted := slices.BinarySearch(r.v.Sizes, tree.Size()); wanted {
		if err := r.out.note(tree); err != nil {
			return err
		}
	}
	switch string(fields[fieldKind]) {
	case proof.KindMismatch:
		r.out.Mismatches++
	case proof.KindGap:
		r.out.Gaps++
	}
	r.pruned = r.pruned || r.v.pruned != nil && seq == r.v.pruned.EntrySeq
	r.add(r.v.checkPrune(seq, fields)...)
	if !r.v.believed(seq) && fields[fieldRowsRoot] != nil {
		r.due = append(r.due, newRowsDue(seq, loggedAt, fields))
	}
	if r.out.Entries++; r.out.Entries%tellEvery == 0 {
		r.v.progress(tellEvery)
	}
	return nil
}
