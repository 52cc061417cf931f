// Package purgelog is the purge log in the database: it appends what the
// write-ahead log shows, and reads and verifies what was appended.
//
// Log rows, chain, tree and progress are written in one transaction, and only
// what was committed may be acknowledged to the server. So after a kill at any
// moment the same transactions come again, are recognised by their commit LSN,
// and stand in the log exactly once.
//
// It guarantees that an entry is attributed to a run only by a stamp of the
// same transaction id, that a stamp's own count is compared with the rows that
// the WAL showed (a difference is an entry of kind mismatch), and that of a row
// nothing is kept but a keyed commitment to its key. It never deletes or
// changes an entry, and it never speaks to the purging side.
//
// A stamp is believed when it is the first and only one of its transaction and
// names a category and a policy that were registered; what its transaction did
// beyond what it says is out of policy, and a mismatch.
//
// A gap is an entry with both LSNs. Once everything behind it is logged, the
// reports in sweeper.batches that are known to the log by no transaction id fell
// into it: each becomes an entry of kind gap with what was reported, and a run
// that ended there has its summary. Entry for entry, as the write-ahead log would
// have had them, so that a second gap finds them said. What fell into the gap
// and reported nothing, such as a DELETE of the application, is not known.
//
// What the publications name is looked at again and again, and each difference
// is an entry of kind coverage, once the log has come up to the look: a statement
// that told of itself by an event trigger stands in the log by then, with its own
// LSN. So do partitions that have gone. What was told is not said again.
package purgelog

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// What can stand in the way of writing the log.
var (
	ErrBusy    = errors.New("another process writes the purge log")
	ErrForeign = errors.New("the purge log belongs to another server than this one; it may continue only after: sweeper log fork")
)

// Options say whose log it is and with which key rows are committed to.
type Options struct {
	URL       string // as the logging role
	SystemID  string // of the server that the slot reads
	Slot      string
	Confirmed uint64       // the slot's confirmed LSN
	Key       []byte       // HMAC key of the row commitments
	FormerKey []byte       // the one before it while rotating; nil: none
	Log       *slog.Logger // hears of a gap

	// Publications that the slot is read through; nil: what they name is not
	// looked at.
	Publications []string
	// Switch tells where the server left one timeline for a later one; 0: it does
	// not know any more. nil: nobody can be asked.
	Switch func(ctx context.Context, from, to int) (lsn uint64, err error)

	// The public halves of the key that signs checkpoints and, while rotating,
	// of the one before; "": there is none.
	SigningKey, FormerSigningKey string

	Application string // the name of its connections; "" is "sweeper log"
}

// Log appends to the purge log. It is used by one goroutine; KeyColumns alone
// may be called from another.
type Log struct {
	o         Options
	source    string
	conn      *pgx.Conn
	relations *relations

	// The state as of the last commit, and as of what is pending in tx.
	committed, pending state

	tx        pgx.Tx // open while something is pending
	now       time.Time
	entries   []proof.Entry
	parts     [][]any // rows of purge_rows not yet sent
	rows      int     // pending rows of the WAL, to decide when to flush
	committer *proof.Committer
	singles   int       // most rows of one transaction that get entries of their own
	ensured   time.Time // partitions exist up to here

	registered map[string]bool // categories and policies of stamps, found in the database
	watching                   // what the publications name
}

// state is what a commit of the log moves forward.
type state struct {
	tree     *proof.Tree
	chain    [32]byte
	loggedAt time.Time // of the last entry
	applied  uint64    // end LSN of the last transaction in the log

	timeline  int        // of the server, when the log was opened last; 0: not known yet
	looked    uint64     // where the WAL ended before the publications were looked at last; 0: never
	reconcile *reconcile // nil: no gap is to be compared with the reports
}

// Open takes the log's one writer's place and reads where it stands. The very
// first time it writes the genesis entry, and where the slot has left WAL out,
// one of kind gap. ErrBusy: another process has it.
func Open(ctx context.Context, o Options) (*Log, error) {
	l, err := take(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		l.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return l, nil
}

// take connects and takes the one writer's place.
func take(ctx context.Context, o Options) (*Log, error) {
	o.Application = cmp.Or(o.Application, "sweeper log")
	conn, err := pg.Connect(ctx, o.URL, o.Application)
	if err != nil {
		return nil, err
	}
	l := &Log{o: o, source: o.SystemID + "/" + o.Slot, conn: conn, committer: proof.NewCommitter(o.Key), singles: mostSingle, registered: map[string]bool{}}
	if err := l.lock(ctx); err != nil {
		l.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return l, nil
}

func (l *Log) lock(ctx context.Context) error {
	var mine bool
	if err := l.conn.QueryRow(ctx, `select pg_try_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.LockLog).Scan(&mine); err != nil {
		return pg.Wrap("take the purge log", err)
	}
	if !mine {
		return ErrBusy
	}
	lookup, err := pg.Connect(ctx, l.o.URL, l.o.Application)
	if err != nil {
		return err
	}
	l.relations = &relations{conn: lookup, known: map[string]relation{}}
	return l.ensurePartitions(ctx)
}

func (l *Log) open(ctx context.Context) error {
	found, err := l.load(ctx)
	if err == nil {
		err = l.loadCoverage(ctx)
	}
	if err != nil {
		return err
	}
	var end uint64
	var timeline int
	if err := l.conn.QueryRow(ctx, placeSQL).Scan(&end, &timeline); err != nil {
		return pg.Wrap("look at the timeline", err)
	}
	if found {
		err = l.keys(ctx)
	} else {
		err = l.genesis(ctx, timeline)
	}
	if err == nil && found {
		err = l.follow(ctx, timeline)
	}
	if err == nil && l.o.Confirmed > l.committed.applied {
		err = l.bridge(ctx)
	}
	if err == nil {
		err = l.watch(ctx)
	}
	return err
}

// Close ends the connections; what is pending is lost and comes again.
func (l *Log) Close(ctx context.Context) {
	if l.relations != nil {
		_ = l.relations.conn.Close(ctx)
	}
	_ = l.conn.Close(ctx)
}

// Applied is the LSN up to which the log is complete and durable.
func (l *Log) Applied() uint64 { return l.committed.applied }

// Pending is the number of rows that the next Flush makes durable.
func (l *Log) Pending() int { return l.rows }

// KeyColumns names the key columns of a relation in key order, for the reader.
func (l *Log) KeyColumns(ctx context.Context, schema, table string, identity []string) ([]string, error) {
	r, err := l.relations.resolve(ctx, schema, table, identity)
	return r.key, err
}

// relations resolves what the stream calls relations: leaves, possibly dropped
// since.
type relations struct {
	mu      sync.Mutex
	conn    *pgx.Conn
	known   map[string]relation
	changed bool // a key that was known is another now
}

// relation is a leaf and its root, as texts write them.
type relation struct {
	leaf, root string
	key        []string
}
