package purgelog

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

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
		s.parts[uint64(r.next)] = s.tree.Clone()
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
