package wal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// keyTimeout bounds one call of KeyFunc: the connection stands still meanwhile.
const keyTimeout = 10 * time.Second

// event is what travels through the queue.
type event struct {
	kind   eventKind
	tx     *Tx           // began
	change *Change       // changed
	lsn    pglogrepl.LSN // committed: the end; idle: everything before it was sent
}

type eventKind byte

const (
	began eventKind = iota
	changed
	committed
	idle
)

// assembler turns the messages of the stream into events. It holds the state
// of the one transaction that is open and nothing of earlier ones but their
// order.
type assembler struct {
	key     KeyFunc
	emit    func(context.Context, event) error // blocks until there is room
	take    func() *Change                     // an empty Change
	skipped func(pglogrepl.LSN) bool           // the consumer wants no rows of the transaction that commits there
	ignored func(kind byte)                    // a message that we do not read

	relations map[uint32]*Relation
	last      pglogrepl.LSN // commit of the last transaction
	open      *Tx           // nil between transactions
	announced bool          // open was handed out: it has changes
	batch     *Change       // rows not handed on yet, or nil
	row       []field       // scratch
}

// message takes one message of pgoutput. It keeps no reference to it.
func (a *assembler) message(ctx context.Context, m []byte) error {
	if len(m) == 0 {
		return fmt.Errorf("decode a message: it is empty")
	}
	switch m[0] {
	case 'B':
		return a.begin(m)
	case 'C':
		return a.commit(ctx, m)
	case 'R':
		return a.relation(ctx, m)
	case byte(Insert), byte(Update), byte(Delete):
		return a.change(ctx, m)
	case byte(Truncate):
		return a.truncate(ctx, m)
	case 'Y', 'O', 'M': // types, origins, logical messages: nothing in them for us
		return nil
	}
	a.ignored(m[0])
	return nil
}

func (a *assembler) begin(m []byte) error {
	b, err := decodeBegin(m)
	switch {
	case err != nil:
		return err
	case a.open != nil:
		return fmt.Errorf("begin at %s inside the transaction of %s: %w", b.final, a.open.CommitLSN, ErrOutOfOrder)
	case b.final <= a.last:
		return fmt.Errorf("begin of %s after the commit at %s: %w", b.final, a.last, ErrOutOfOrder)
	}
	a.open = &Tx{XID: b.xid, CommitLSN: b.final, CommittedAt: b.at}
	a.announced = false
	return nil
}

func (a *assembler) commit(ctx context.Context, m []byte) error {
	c, err := decodeCommit(m)
	switch {
	case err != nil:
		return err
	case a.open == nil:
		return fmt.Errorf("commit at %s without a begin: %w", c.lsn, ErrOutOfOrder)
	case c.lsn != a.open.CommitLSN, c.end <= c.lsn, !c.at.Equal(a.open.CommittedAt):
		return fmt.Errorf("commit at %s to %s of the transaction begun for %s: %w", c.lsn, c.end, a.open.CommitLSN, ErrOutOfOrder)
	}
	if err := a.flush(ctx); err != nil {
		return err
	}
	kind := committed
	if !a.announced { // nothing in it for us: only the position moves
		kind = idle
	}
	a.open, a.last = nil, c.lsn
	return a.emit(ctx, event{kind: kind, lsn: c.end})
}

func (a *assembler) relation(ctx context.Context, m []byte) error {
	r, err := decodeRelation(m)
	if err != nil {
		return err
	}
	// Rows that wait belong to the description before this one.
	if err := a.flush(ctx); err != nil {
		return err
	}
	var identity []string
	for _, c := range r.Columns {
		if c.Identity {
			identity = append(identity, c.Name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	if r.Key, err = a.key(ctx, r.Schema, r.Name, identity); err != nil {
		return pg.Wrap(fmt.Sprintf("find the key of %q.%q", r.Schema, r.Name), err)
	}
	r.resolveKey()
	a.relations[r.OID] = r
	return nil
}

// resolveKey finds the key columns among those that are sent. What is wrong
// with them matters only when a row has to be named: a table of which we get
// inserts alone needs no key.
func (r *Relation) resolveKey() {
	if len(r.Key) == 0 {
		r.keyErr = fmt.Errorf("relation %q.%q has no key to name its rows by: give it a primary key", r.Schema, r.Name)
		return
	}
	for _, name := range r.Key {
		at := slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == name })
		if at < 0 || !r.Columns[at].Identity || slices.Contains(r.keyAt, at) {
			r.keyErr = fmt.Errorf("relation %q.%q: key column %q is not, or not once, in its replica identity", r.Schema, r.Name, name)
			return
		}
		r.keyAt = append(r.keyAt, at)
		r.keyName = append(r.keyName, append(appendLength(nil, len(name)), name...))
	}
}

func keyError(r *Relation, column string, kind byte) error {
	why := "is NULL"
	if kind == 'u' {
		why = "was not sent, being stored out of line and unchanged"
	}
	return fmt.Errorf("relation %q.%q: key column %q of a row %s", r.Schema, r.Name, column, why)
}

func (a *assembler) change(ctx context.Context, m []byte) error {
	c := open(m)
	rel, err := a.known(c.kind, c.u32())
	if err != nil {
		return err
	}
	if a.announced && a.skipped(a.open.CommitLSN) {
		a.drop()
		return nil
	}
	if c.kind == byte(Insert) {
		a.row, err = c.inserted(a.row)
	} else {
		a.row, err = c.identify(a.row)
	}
	switch {
	case err != nil:
		return fmt.Errorf("relation %q.%q: %w", rel.Schema, rel.Name, err)
	case len(a.row) != len(rel.Columns):
		return fmt.Errorf("relation %q.%q: a row of %d columns, %d were described", rel.Schema, rel.Name, len(a.row), len(rel.Columns))
	}
	return a.add(ctx, Op(c.kind), rel)
}

func (c *cursor) inserted(row []field) ([]field, error) {
	if form := c.u8(); form != 'N' {
		return row, c.unknownTuple(form)
	}
	row, err := c.tuple(row)
	return row, c.or(err)
}

// known is the relation that a message inside a transaction is about.
func (a *assembler) known(kind byte, oid uint32) (*Relation, error) {
	if a.open == nil {
		return nil, fmt.Errorf("message %q outside a transaction: %w", kind, ErrOutOfOrder)
	}
	rel, ok := a.relations[oid]
	if !ok {
		return nil, fmt.Errorf("message %q about relation %d before its description: %w", kind, oid, ErrOutOfOrder)
	}
	return rel, nil
}

// add puts the scratch row into the batch.
func (a *assembler) add(ctx context.Context, op Op, rel *Relation) error {
	if a.batch != nil && (a.batch.Op != op || a.batch.Relation != rel) {
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	if a.batch == nil {
		a.batch = a.take()
		a.batch.reset(op, rel)
	}
	if op == Insert {
		a.batch.addRow(a.row)
	} else {
		if rel.keyErr != nil {
			return rel.keyErr
		}
		if err := a.batch.addKey(a.row); err != nil {
			return err
		}
	}
	if a.batch.full() {
		return a.flush(ctx)
	}
	return nil
}

func (a *assembler) truncate(ctx context.Context, m []byte) error {
	oids, err := decodeTruncate(m)
	if err != nil || len(oids) == 0 {
		return err
	}
	t := a.take()
	t.reset(Truncate, nil)
	for _, oid := range oids {
		rel, err := a.known(byte(Truncate), oid)
		if err != nil {
			return err
		}
		t.Relations = append(t.Relations, rel)
	}
	t.Relation = t.Relations[0]
	if err := a.flush(ctx); err != nil {
		return err
	}
	a.batch = t
	return a.flush(ctx)
}

// flush hands the batch on, after the transaction it belongs to.
func (a *assembler) flush(ctx context.Context) error {
	if a.batch == nil {
		return nil
	}
	if !a.announced {
		a.announced = true
		if err := a.emit(ctx, event{kind: began, tx: a.open}); err != nil {
			return err
		}
	}
	batch := a.batch
	a.batch = nil
	return a.emit(ctx, event{kind: changed, change: batch})
}

// drop forgets the batch of a transaction that the consumer skips.
func (a *assembler) drop() { a.batch = nil }
