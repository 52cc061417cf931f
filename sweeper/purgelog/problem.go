package purgelog

import (
	"context"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

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
		r.out.note(tree)
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
