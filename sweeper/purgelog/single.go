package purgelog

import (
	"context"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// mostSingle is how many rows of one transaction may have entries of their own:
// until it ends, 32 bytes of each are kept. A transaction of ours has as many only
// where so many rows of other tables go along with a single one; those that are
// too many are one entry, as without evidence: row.
const mostSingle = 1 << 18

// each tells that the next rows are to have an entry each. It is the stamp that
// says so, so that a transaction that comes again gives the same entries. Which
// of its tables a transaction names is known at its end, so that rows of one that
// it did not name have theirs too.
func (a *appending) each() bool {
	return a.stamp != nil && a.stamp.evidence == "row" && a.single < a.Log.singles
}

// oneByOne writes the entries of rows that have one each: relation by relation,
// each in the order of the write-ahead log. Such an entry is like any other, of
// one row: its rows_root is the root over the one commitment.
func (a *appending) oneByOne(ctx context.Context) error {
	const size = 32 // of a commitment
	one := int64(1)
	for _, g := range a.groups {
		if !g.each {
			continue
		}
		e := a.purge(g)
		e.RowCount = &one
		for i := range len(g.buf) / size {
			commitment := g.buf[i*size : (i+1)*size]
			root := proof.HashLeaf(commitment)
			e.RowsRoot = root[:]
			a.parts = append(a.parts, []any{int64(a.pending.tree.Size()), a.now, 0, commitment})
			if err := a.append(e); err != nil {
				return err
			}
			if len(a.entries) >= partRows {
				if err := a.write(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
