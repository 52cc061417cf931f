package purgelog

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// The operations of a change, by the letters of the protocol.
const (
	opInsert   = 'I'
	opUpdate   = 'U'
	opDelete   = 'D'
	opTruncate = 'T'
)

const (
	partRows  = 2000 // commitments in one row of purge_rows
	manyParts = 32   // parts kept before they are sent: 2 MiB
)

// Tx is a committed transaction as the reader hands it over.
type Tx struct {
	XID         uint32
	CommitLSN   uint64
	CommittedAt time.Time
	Next        func(ctx context.Context) (Change, error) // io.EOF after the last
	End         func() uint64                             // behind the commit, once Next has given io.EOF
}

// Change is a run of rows of one relation and one operation, or a TRUNCATE of
// several relations. It is valid until the next one is asked for.
type Change struct {
	Op        byte
	Relations []Name
	Rows      Rows
}

// Name is a relation as the stream calls it.
type Name struct{ Schema, Relation string }

// stamps is the table that transactions write their stamps into, and manifest
// the one through which they show the keys of a partition that goes whole.
var (
	stamps   = Name{Schema: "sweeper", Relation: "batches"}
	manifest = Name{Schema: "sweeper", Relation: "manifest"}
)

// Rows are the rows of a change.
type Rows interface {
	Len() int
	Key(i int) []byte                          // lp(column) ‖ lp(text) …, of updates and deletes
	Value(i int, column string) (string, bool) // of inserts
}

// group is what one transaction did to one relation: one entry, or with each one
// for each of its rows.
type group struct {
	relation
	kind string
	each bool
	rows proof.Rows
	seq  int64 // of the one entry
	part int
	buf  []byte // commitments of the part that is being filled; with each all of them
}

// appending is one transaction on its way into the log.
type appending struct {
	*Log
	tx     Tx
	stamp  *stamp
	groups []*group
	report map[string]*report // by relation and kind
	after  []proof.Entry      // entries that follow those of the groups
	ended  []*stamp           // runs that this transaction ends
	id     []byte             // scratch: lp(root) ‖ key
	worked bool               // rows were changed
	single int                // rows that are to have an entry of their own
}

// Append puts one transaction into the log, as part of the next Flush. One that
// is in it already, as its commit LSN tells, adds nothing. After an error the
// log must be opened anew.
func (l *Log) Append(ctx context.Context, tx Tx) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	a := &appending{Log: l, tx: tx, report: map[string]*report{}}
	again := tx.CommitLSN < l.pending.applied
	if !again && l.due(l.pending, tx.CommitLSN) {
		if err := l.settleUpTo(ctx, tx.CommitLSN); err != nil {
			return err
		}
	}
	for {
		c, err := tx.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && !again {
			err = a.change(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	if again {
		return nil
	}
	if err := a.close(ctx); err != nil {
		return err
	}
	l.pending.applied = tx.End()
	return nil
}

func (a *appending) change(ctx context.Context, c Change) error {
	switch c.Op {
	case opInsert:
		switch c.Relations[0] {
		case stamps:
			return a.facts(ctx, c)
		case manifest:
			return a.manifest(ctx, c)
		}
		return nil // somebody has published inserts of an application's table
	}
	a.worked = true
	switch c.Op {
	case opTruncate:
		return a.truncate(ctx, c)
	case opUpdate:
		if a.stamp == nil {
			return nil // the application's own business
		}
		return a.purged(ctx, c, "redact")
	case opDelete:
		return a.purged(ctx, c, "delete")
	}
	return nil
}

// purged adds rows to the entry of their relation.
func (a *appending) purged(ctx context.Context, c Change, kind string) error {
	r, err := a.relations.resolve(ctx, c.Relations[0].Schema, c.Relations[0].Relation, nil)
	if err != nil {
		return err
	}
	return a.commit(ctx, a.group(r, kind, a.each()), c.Rows.Len(), func(i int) ([]byte, error) { return c.Rows.Key(i), nil })
}

// commit adds the commitments of n rows, by their keys.
func (a *appending) commit(ctx context.Context, g *group, n int, key func(i int) ([]byte, error)) error {
	a.id = proof.AppendField(a.id[:0], []byte(g.root))
	prefix := len(a.id)
	for i := range n {
		k, err := key(i)
		if err != nil {
			return err
		}
		a.id = append(a.id[:prefix], k...)
		commitment := a.committer.Commit(a.id)
		g.rows.Add(commitment)
		g.buf = append(g.buf, commitment[:]...)
		if !g.each && len(g.buf) == partRows*len(commitment) {
			if err := a.part(ctx, g); err != nil {
				return err
			}
		}
	}
	if g.each {
		a.single += n
	}
	a.Log.rows += n
	return nil
}

// group finds or makes the group of rows of a relation. Those that are one entry
// get their places in the order in which they come; entries of single rows follow
// behind them.
func (a *appending) group(r relation, kind string, each bool) *group {
	seq := int64(a.pending.tree.Size())
	for _, g := range a.groups {
		if g.leaf == r.leaf && g.kind == kind && g.each == each {
			return g
		}
		if !g.each {
			seq++
		}
	}
	g := &group{relation: r, kind: kind, each: each, seq: seq}
	a.groups = append(a.groups, g)
	return g
}

// part ends a row of purge_rows. Many of them go to the server at once, so that
// a transaction of any size is logged in bounded memory.
func (a *appending) part(ctx context.Context, g *group) error {
	a.parts = append(a.parts, []any{g.seq, a.now, g.part, g.buf})
	g.part, g.buf = g.part+1, nil
	if len(a.parts) >= manyParts {
		return a.copyParts(ctx)
	}
	return nil
}

func (a *appending) truncate(ctx context.Context, c Change) error {
	for _, n := range c.Relations {
		r, err := a.relations.resolve(ctx, n.Schema, n.Relation, nil)
		if err != nil {
			return err
		}
		a.after = append(a.after, a.unattributed("truncate", r)) // no run of ours ever does that
	}
	if a.stamp != nil {
		a.disbelieve("a TRUNCATE in a transaction with a stamp")
	}
	return nil
}

// entry is what all entries of this transaction have in common.
func (a *appending) entry(kind string, r relation) proof.Entry {
	e := a.unattributed(kind, r)
	if a.stamp != nil {
		e.Reason = nil
		a.stamp.attribute(&e)
	}
	return e
}

// unattributed is an entry of something that no stamp speaks of.
func (a *appending) unattributed(kind string, r relation) proof.Entry {
	xid := int64(a.tx.XID)
	e := proof.Entry{Kind: kind, CommitLSN: a.tx.CommitLSN, CommittedAt: &a.tx.CommittedAt, XID: &xid, Reason: text("out_of_policy")}
	if r.root != "" {
		e.Relation = &r.root
	}
	if r.leaf != r.root {
		e.Partition = &r.leaf
	}
	return e
}

// close writes the transaction's entries: those of its rows, then what followed
// from its facts.
func (a *appending) close(ctx context.Context) error {
	for _, g := range a.groups {
		if g.each {
			continue
		}
		if len(g.buf) > 0 {
			if err := a.part(ctx, g); err != nil {
				return err
			}
		}
		e := a.purge(g)
		count, root := g.rows.Count(), g.rows.Root()
		e.RowCount, e.RowsRoot = &count, root[:]
		if err := a.append(e); err != nil {
			return err
		}
	}
	if err := a.oneByOne(ctx); err != nil {
		return err
	}
	for _, e := range slices.Concat(a.after, a.mismatches()) {
		if err := a.append(e); err != nil {
			return err
		}
	}
	for _, end := range a.ended {
		if err := a.purges(ctx, end); err != nil {
			return err
		}
	}
	return nil
}

// purge is what the entries of a group have in common.
func (a *appending) purge(g *group) proof.Entry {
	e := a.unattributed(g.kind, g.relation)
	if a.named(g) {
		a.stamp.attribute(&e)
	}
	rep := a.report[g.kind+" "+g.root]
	if g.kind == "redact" && a.stamp != nil {
		e.Columns = a.stamp.columns
		if rep != nil && rep.columns != nil {
			e.Columns = rep.columns
		}
	}
	if rep != nil {
		e.Tenant = rep.tenant
	}
	return e
}

func text(s string) *string { return &s }

// purges writes the summary of a run that has ended: one row for each tenant,
// as its batches reported them. Rows of a partition that was detached are still
// there, and count as neither deleted nor redacted. What was reported in a gap
// counts as seen: the entry of the gap says that it was not.
func (a *appending) purges(ctx context.Context, end *stamp) error {
	if a.pending.reconcile != nil {
		if err := a.reported(ctx, end.runID); err != nil {
			return err
		}
	}
	if err := a.write(ctx); err != nil {
		return err
	}
	var twice bool
	err := a.Log.tx.QueryRow(ctx, `select exists (select from sweeper.purges where run_id = $1 and category = $2)`, end.runID, end.category).Scan(&twice)
	if err != nil {
		return pg.Wrap("look for a run in sweeper.purges", err)
	}
	if twice {
		e := a.unattributed("mismatch", relation{})
		end.attribute(&e)
		e.Reference = text("the run had ended before")
		return a.append(e)
	}
	var reported, seen int64
	err = a.Log.tx.QueryRow(ctx, purgesSQL, end.runID, end.category, end.reason, end.cutoff, end.actor, end.reference, end.startedAt, a.tx.CommittedAt, a.now).Scan(&reported, &seen)
	if err != nil {
		return pg.Wrap("sum up a run in sweeper.purges", err)
	}
	if reported == seen {
		return nil
	}
	e := a.entry("mismatch", relation{})
	e.Reason, e.RowCount = nil, &seen
	end.attribute(&e)
	e.Reference = text("the run's batches reported another number of rows than the write-ahead log showed")
	return a.append(e)
}

const purgesSQL = `
with reports as (
  select b.kind, b.row_count, b.tenants from sweeper.batches b where b.run_id = $1 and b.fact = 'report'),
counts as (
  select r.kind, t.tenant, t.rows from reports r cross join lateral jsonb_to_recordset(r.tenants) t(tenant text, rows bigint) where r.tenants is not null
  union all
  select r.kind, null, r.row_count from reports r where r.tenants is null),
totals as (
  select tenant,
         sum(rows) filter (where kind in ('delete', 'drop_partition')) as deleted,
         sum(rows) filter (where kind = 'redact') as redacted,
         bool_or(kind = 'drop_partition' and rows is null) as uncounted
    from counts group by tenant),
written as (
  insert into sweeper.purges (run_id, category, tenant, reason, cutoff, actor, reference, rows_deleted, rows_redacted, objects_removed, started_at, finished_at, logged_at)
  select $1, $2, t.tenant, $3, $4, $5, $6, case when t.uncounted then null else coalesce(t.deleted, 0) end, coalesce(t.redacted, 0), 0, $7, $8, $9
    from (select * from totals union all select null, 0, 0, false where not exists (select from totals)) t)
select coalesce((select sum(row_count) from reports), 0)::bigint,
       coalesce((select sum(row_count) from sweeper.purge_log where run_id = $1 and category = $2 and kind in ('delete', 'redact', 'drop_partition', 'detach_partition', 'gap')), 0)::bigint`
