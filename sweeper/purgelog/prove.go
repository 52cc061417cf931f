package purgelog

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// ErrBroken: the log contradicts itself or its checkpoint.
var ErrBroken = errors.New("the purge log is broken; run: sweeper log verify")

// Wanted is what a document is to prove.
type Wanted struct {
	Row   *proof.DocumentRow // nil: no row
	Since time.Time          // the oldest commit that is looked at
	Keys  [][]byte           // HMAC keys: the first, and the one before it while rotating

	Older    []byte // note of an older checkpoint; nil: none
	Progress func(done, total int64)
}

// Found is an entry that has a commitment to a row, and where.
type Found struct {
	Entry proof.Entry
	nonce [32]byte
	at    int64 // the commitment's position among those of the entry
}

// Prove makes a document from the log as it stands, in one snapshot. It holds
// the log's latest checkpoint, or the log's head as a bare text when no
// checkpoint has all that is to be proved. Found is empty, and the document nil,
// when the log has no commitment to the row.
func Prove(ctx context.Context, conn *pgx.Conn, w Wanted) (d *proof.Document, found []Found, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, nil, pg.Wrap("read the purge log", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := readAll(ctx, tx); err != nil {
		return nil, nil, err
	}
	p := &prover{w: w, tx: tx}
	if p.head, err = readHead(ctx, tx); err != nil {
		return nil, nil, err
	}
	if len(p.head.Root) != 32 || p.head.Size < 1 {
		return nil, nil, fmt.Errorf("%w (log_head is not one)", ErrBroken)
	}
	if p.pruned, err = readPrune(ctx, tx); err != nil {
		return nil, nil, err
	}
	if w.Row != nil {
		if found, err = p.find(ctx); err != nil || len(found) == 0 {
			return nil, found, err
		}
	}
	d, err = p.document(ctx, found)
	return d, found, err
}

type prover struct {
	w      Wanted
	tx     pgx.Tx
	head   proof.Head
	pruned *proof.Prune
}

// commitSQL finds the parts that have a commitment, each once. A commitment is as
// long as a hash, so that one which straddles two others is none. An entry is
// logged after its commit by the same clock; a day is for a clock that was set.
const commitSQL = `
	select p.seq, (select coalesce(sum(octet_length(b.commitments)), 0) from sweeper.purge_rows b where b.seq = r.seq and b.part < r.part) / 32
	       + (position($2::bytea in r.commitments) - 1) / 32
	  from sweeper.purge_log p join sweeper.purge_rows r using (seq, logged_at)
	 where p.relation = $1 and p.committed_at >= $3 and p.logged_at >= $3::timestamptz - interval '1 day' and r.logged_at >= $3::timestamptz - interval '1 day'
	   and position($2::bytea in r.commitments) % 32 = 1
	 order by p.seq`

func (p *prover) find(ctx context.Context) ([]Found, error) {
	var all []Found
	since := p.w.Since
	if since.IsZero() {
		since = time.Unix(0, 0)
	}
	id := proof.RowID(p.w.Row.Relation, p.w.Row.Columns, p.w.Row.Key)
	for _, key := range p.w.Keys {
		committer := proof.NewCommitter(key)
		commitment := committer.Commit(id)
		rows, err := p.tx.Query(ctx, commitSQL, p.w.Row.Relation, commitment[:], since)
		if err != nil {
			return nil, pg.Wrap("search the purge log", err)
		}
		nonce := committer.Nonce(id)
		var seq, at int64
		if _, err := pgx.ForEachRow(rows, []any{&seq, &at}, func() error {
			all = append(all, Found{Entry: proof.Entry{Seq: seq}, nonce: nonce, at: at})
			return nil
		}); err != nil {
			return nil, pg.Wrap("search the purge log", err)
		}
	}
	slices.SortStableFunc(all, func(a, b Found) int { return cmp.Compare(a.Entry.Seq, b.Entry.Seq) })
	return all, nil
}

// checkpoint is the latest one that has all the entries; else the log's head.
func (p *prover) checkpoint(ctx context.Context, least int64) (note []byte, c proof.Checkpoint, err error) {
	var text string
	err = p.tx.QueryRow(ctx, `select note from sweeper.checkpoints where size between $1 and $2 order by size desc, signed_by = '{}', checkpoint_id desc limit 1`, least, p.head.Size).Scan(&text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		c = proof.Checkpoint{Size: uint64(p.head.Size), Root: [32]byte(p.head.Root)}
		if c.Origin, err = OriginAt(ctx, p.tx.Conn(), c.Size); err != nil {
			return nil, c, err
		}
		return []byte(c.Text()), c, nil
	case err != nil:
		return nil, c, pg.Wrap("read the checkpoints", err)
	}
	if c, err = proof.OpenCheckpoint([]byte(text)); err != nil {
		return nil, c, fmt.Errorf("%w (%w)", ErrBroken, err)
	}
	return []byte(text), c, nil
}

// OriginAt is the origin of the log when it had so many entries: it is named by
// the last one of them that a log begins with.
func OriginAt(ctx context.Context, conn *pgx.Conn, size uint64) (string, error) {
	var hash []byte
	var reference *string
	err := conn.QueryRow(ctx, `
		select (select leaf_hash from sweeper.purge_log where kind in ('genesis', 'fork') and seq < $1 order by seq desc limit 1),
		       (select l.reference from sweeper.log_prunes p join sweeper.purge_log l on l.seq = p.entry_seq and l.kind = 'log_prune' order by p.size desc limit 1)`, int64(size)).Scan(&hash, &reference)
	switch {
	case err != nil:
		return "", pg.Wrap("look for the origin of the purge log", err)
	case len(hash) == 32:
		return proof.Origin([32]byte(hash)), nil
	}
	return proof.PrunedOrigin(value(reference)), nil
}

// document reads the leaf hashes of the whole tree once.
func (p *prover) document(ctx context.Context, found []Found) (*proof.Document, error) {
	least := int64(1)
	if len(found) > 0 {
		least = found[len(found)-1].Entry.Seq + 1
	}
	var older proof.Checkpoint
	var err error
	if p.w.Older != nil {
		if older, err = proof.OpenCheckpoint(p.w.Older); err != nil {
			return nil, err
		}
		if older.Size > uint64(p.head.Size) || older.Size == 0 {
			return nil, fmt.Errorf("%w (the older checkpoint has %d entries and the log %d)", ErrBroken, older.Size, p.head.Size)
		}
		least = max(least, int64(older.Size))
	}
	note, c, err := p.checkpoint(ctx, least)
	if err != nil {
		return nil, err
	}
	d := proof.NewDocument(note)
	paths := make([]*proof.Path, len(found))
	for i := range found {
		if paths[i], err = proof.NewInclusion(uint64(found[i].Entry.Seq), c.Size); err != nil {
			return nil, err
		}
	}
	if p.w.Older != nil {
		consistency, err := proof.NewConsistency(older.Size, c.Size)
		if err != nil {
			return nil, err
		}
		paths = append(paths, consistency)
	}
	if err := p.leaves(ctx, c, paths); err != nil {
		return nil, err
	}
	if len(found) > 0 {
		d.Row = p.w.Row
	}
	for i := range found {
		one, err := p.entry(ctx, &found[i], paths[i])
		if err != nil {
			return nil, err
		}
		d.Entries = append(d.Entries, *one)
	}
	if p.w.Older != nil {
		d.Older = string(p.w.Older)
		path, err := paths[len(paths)-1].Hashes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", proof.ErrPruned, err)
		}
		d.Consistency = proof.HexPath(path)
	}
	// Whoever gets the document checks it; so do we.
	if _, err := d.Verify(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrBroken, err)
	}
	return d, nil
}

// leaves shows the leaf hashes of a checkpoint's tree to all paths.
func (p *prover) leaves(ctx context.Context, c proof.Checkpoint, paths []*proof.Path) error {
	tree := &proof.Tree{}
	if p.pruned != nil {
		var err error
		if tree, err = p.pruned.Tree(); err != nil {
			return fmt.Errorf("%w (%w)", ErrBroken, err)
		}
		if c.Size < tree.Size() {
			return proof.ErrPruned
		}
		for _, path := range paths {
			path.Skip(tree)
		}
	}
	first := int64(tree.Size())
	strange := false
	err := copyOut(ctx, p.tx.Conn(), "read the purge log", fmt.Sprintf(`select seq, logged_at, leaf_hash from sweeper.purge_log where seq < %d order by seq, logged_at`, c.Size), 3, func(fields [][]byte) error {
		seq, _, err := place(fields)
		if err != nil || len(fields[2]) != 32 {
			return errCopy
		}
		strange = strange || seq != int64(tree.Size())
		hash := [32]byte(fields[2])
		tree.Append(hash)
		for _, path := range paths {
			path.Add(hash)
		}
		if n := seq - first; p.w.Progress != nil && n%tellEvery == 0 {
			p.w.Progress(n, int64(c.Size)-first)
		}
		return nil
	})
	if err == nil && (strange || tree.Size() != c.Size || tree.Root() != c.Root) {
		err = fmt.Errorf("%w (its entries do not give the root of the checkpoint of %d)", ErrBroken, c.Size)
	}
	return err
}

// entry proves one entry, and the row in it.
func (p *prover) entry(ctx context.Context, f *Found, path *proof.Path) (*proof.ProvedEntry, error) {
	conn := p.tx.Conn()
	var leaf []byte
	err := copyOut(ctx, conn, "read the purge log", fmt.Sprintf(`select %s from sweeper.purge_log where seq = %d`, entryFields, f.Entry.Seq), fieldsOfEntry, func(fields [][]byte) (err error) {
		leaf, err = proof.AppendColumns(nil, fields)
		return err
	})
	if err != nil {
		return nil, err
	}
	if f.Entry, err = proof.ParseLeaf(leaf); err != nil || f.Entry.RowCount == nil || *f.Entry.RowCount <= f.at {
		return nil, fmt.Errorf("%w (entry %d)", ErrBroken, f.Entry.Seq)
	}
	rows, err := proof.NewInclusion(uint64(f.at), uint64(*f.Entry.RowCount))
	if err != nil {
		return nil, err
	}
	err = copyOut(ctx, conn, "read row commitments", fmt.Sprintf(`select commitments from sweeper.purge_rows where seq = %d order by part`, f.Entry.Seq), 1, func(fields [][]byte) error {
		for c := fields[0]; len(c) >= 32; c = c[32:] {
			rows.Add(proof.HashLeaf(c[:32]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	inTree, err := path.Hashes()
	if err != nil {
		return nil, err
	}
	inRows, err := rows.Hashes()
	if err != nil {
		return nil, fmt.Errorf("%w (entry %d: %w)", ErrBroken, f.Entry.Seq, err)
	}
	return &proof.ProvedEntry{
		Leaf: base64.StdEncoding.EncodeToString(leaf), Path: proof.HexPath(inTree), Nonce: hex.EncodeToString(f.nonce[:]),
		Position: f.at, RowPath: proof.HexPath(inRows),
	}, nil
}
