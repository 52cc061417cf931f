package purgelog

import (
	"encoding/binary"
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// rowsDue is an entry that has row commitments.
type rowsDue struct {
	seq, loggedAt int64
	count         int64 // -1: it does not say how many
	root          [32]byte
	short         bool // its root has not the length of one
}

func newRowsDue(seq, loggedAt int64, fields [][]byte) rowsDue {
	d := rowsDue{seq: seq, loggedAt: loggedAt, count: -1, short: len(fields[fieldRowsRoot]) != 32}
	if len(fields[fieldRowCount]) == 8 {
		d.count = int64(binary.BigEndian.Uint64(fields[fieldRowCount]))
	}
	copy(d.root[:], fields[fieldRowsRoot])
	return d
}

// rowsReader compares row commitments, in the order of entry and part, with the
// entries that have some.
type rowsReader struct {
	due      []rowsDue
	believed func(seq int64) bool // the rows of such entries are not looked at
	count    int64                // commitments seen
	problems []proof.Problem

	rows    proof.Rows // of due[0]
	next    int32      // the part that is due of it
	bad     bool       // a part of it is not as it must be
	strange bool       // orphan is one
	orphan  int64      // the last entry that was found to have none
}

// part takes the next row of purge_rows.
func (r *rowsReader) part(fields [][]byte) error {
	seq, loggedAt, err := place(fields)
	if err != nil {
		return err
	}
	if len(fields[2]) != 4 {
		return errCopy
	}
	if r.believed(seq) {
		return nil
	}
	for len(r.due) > 0 && r.due[0].seq < seq {
		r.end()
	}
	if len(r.due) == 0 || r.due[0].seq != seq {
		if !r.strange || r.orphan != seq {
			r.problems = append(r.problems, proof.Problem{Seq: seq, Text: "row commitments without an entry that they belong to"})
			r.strange, r.orphan = true, seq
		}
		return nil
	}
	part, commitments := int32(binary.BigEndian.Uint32(fields[2])), fields[3]
	r.bad = r.bad || part != r.next || loggedAt != r.due[0].loggedAt || len(commitments)%32 != 0
	r.next++
	for ; len(commitments) >= 32; commitments = commitments[32:] {
		r.rows.Add([32]byte(commitments))
	}
	return nil
}

// end compares what was read of an entry with what it says.
func (r *rowsReader) end() {
	d := &r.due[0]
	if r.bad || d.short || r.rows.Count() != d.count || r.rows.Root() != d.root {
		r.problems = append(r.problems, proof.Problem{Seq: d.seq, Text: fmt.Sprintf("the %d row commitments do not give the entry's count and root", r.rows.Count())})
	}
	r.count += r.rows.Count()
	r.rows.Reset()
	r.due, r.next, r.bad = r.due[1:], 0, false
}

// close ends the entries that no further row can belong to.
func (r *rowsReader) close() {
	for len(r.due) > 0 {
		r.end()
	}
}
