// Package purge runs planned steps in batches.
//
// One batch is one transaction: the shared side of the hold fence, the stamp,
// the work with its whole condition, the report. So a legal hold that has
// committed is seen by every later batch and waits for the one in flight; a
// kill at any moment loses nothing and repeats nothing; and what the purge log
// later says of a batch is what the same transaction did.
//
// It guarantees READ COMMITTED (under any other isolation the fence would be
// passed by an older snapshot) and that no batch waits for a lock longer than
// its timeout. It never writes the purge log and never reads it.
package purge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// States of a run, as sweeper.runs stores them.
const (
	Running          = "running"
	Succeeded        = "succeeded"
	Partial          = "partial"
	Failed           = "failed"
	Stopped          = "stopped"
	AwaitingApproval = "awaiting_approval"
	Observed         = "observed"
	Paused           = "paused"
)

// Options say how a sweep runs.
type Options struct {
	BatchRows        int           // rows of a batch at most
	BatchTarget      time.Duration // the duration that adaptive sizing aims at
	Workers          int           // steps in parallel
	LockTimeout      time.Duration // of one lock wait
	StatementTimeout time.Duration // of one statement
	AutoApprove      bool          // runs over their limits need no approval
	Reason           string        // why: manual, retention_cron
	Actor            string        // who, as the log names them
	Log              *slog.Logger
	Now              func() time.Time
	Progress         func(Progress) // nil: none; called from several goroutines, one at a time

	Claim         func(category string) error                      // says why a category must not run; nil: all may
	Instance      string                                           // of the process, as its connections are named; "": unnamed
	Stop          context.Context                                  // when it ends, no new batch begins; nil: only the hard context of Run counts
	Healthy       func() error                                     // asked before each batch, which waits until it is nil; nil: not asked
	RowsPerSecond int                                              // of everybody who purges this database; 0: no limit
	MaxReplicaLag time.Duration                                    // of a physical standby, above which no batch begins; 0: not looked at
	Standbys      *Standbys                                        // which several runs remember together; nil: those of one sweep
	MaxSlotLag    int64                                            // WAL in bytes that the log may be behind, likewise; 0: not looked at
	Slot          string                                           // that feeds the log
	Slots         chan struct{}                                    // where several runs share their Workers; nil: a run has its own
	Ended         Ended                                            // nil: none
	Batched       func(Batch)                                      // told of each commit, from several goroutines; nil: nobody
	Waits         func(category, cause string)                     // told of each pause that begins, by any goroutine; nil: nobody is
	Waited        func(category, cause string, took time.Duration) // told of each pause that has ended, likewise
	Holder        Holder                                           // nil: every other holder of a step is a stranger
	Shortened     Shortened                                        // nil: windows are not compared
}

// Batch is a committed batch, or a partition that went whole.
type Batch struct {
	Category string
	Table    string // the root
	Kind     string // of the step: plan.Delete, plan.Redact, plan.DropPartition or plan.DetachPartition
	Rows     int64
	Took     time.Duration
}

// Holder tells whether the lock with that second key, which another session
// held a moment ago, is in the hands of a living process of ours, or free now. It
// ends one that is frozen.
type Holder func(ctx context.Context, conn *pgx.Conn, key int32) (ours bool, err error)

// Shortened tells how the windows of a category of a plan are shorter than when
// it ran before; "" they are not.
type Shortened func(ctx context.Context, q Querier, p *plan.Plan, c *plan.Category) (why string, err error)

// Ended is called in the transaction that records how a run ended. Its error
// undoes that record.
type Ended func(ctx context.Context, tx pgx.Tx, o Outcome) error

// Progress is how far a sweep is.
type Progress struct {
	Category string // the one that has gone on
	Of       int    // categories that the sweep may purge
	Done     int64  // rows purged so far in the whole sweep
	Total    int64  // rows that were due in it; 0: some category is not counted yet
}

// Outcome is what one run of one category did.
type Outcome struct {
	RunID             uuid.UUID
	Category          string
	State             string
	AsOf              time.Time
	PlanHash          string
	Deleted           int64
	Redacted          int64
	PartitionsDropped int64
	Children          int64 // rows of other tables that went along
	Held              int64
	Blocked           int64
	NotStarted        int64
	Remaining         int64 // due and still there, blocked ones included
	StopReason        string
	Err               error // what ended it, when it failed

	oldest  *time.Time // the oldest start that is still due
	counted bool       // Held to Remaining, and oldest, were
	kept    int64      // of Blocked, the rows that a trigger keeps
	keepers []string   // what keeps rows that would go along
}

// Tally is how many rows are in which state.
type Tally struct {
	NotStarted int64
	Future     int64
	Scheduled  int64
	Held       int64
	Blocked    int64
	Due        int64
	Oldest     *time.Time // the oldest start that is due
}

func (t *Tally) rows() int64 {
	return t.NotStarted + t.Future + t.Scheduled + t.Held + t.Blocked + t.Due
}

func (t *Tally) add(o Tally) {
	t.NotStarted += o.NotStarted
	t.Future += o.Future
	t.Scheduled += o.Scheduled
	t.Held += o.Held
	t.Blocked += o.Blocked
	t.Due += o.Due
	if o.Oldest != nil && (t.Oldest == nil || o.Oldest.Before(*t.Oldest)) {
		t.Oldest = o.Oldest
	}
}

// States are the rows of a category under one disposition, by their state.
type States struct {
	Disposition string
	Tally
	Total     int64     // rows of the category
	Estimated bool      // Total and Scheduled are estimates; the other states never are
	Cutoff    time.Time // as-of less the period: for people, nothing compares with it

	Parts  []Tally          // of each part of the count
	Leaves map[uint32]Tally // of each partition, by oid, as far as it can hold due rows

	Keepers []Keeper // what keeps rows that would go along with due ones, which blocks those
}

// Keeper is what keeps rows that would go along, and how many rows of the
// category that blocks. A row that two of them block counts for both.
type Keeper struct {
	Name string
	Rows int64
}

// run is one category's run in flight.
type run struct {
	Options
	id        uuid.UUID
	sweep     uuid.UUID
	plan      *plan.Plan
	category  *plan.Category
	cutoffs   map[string]time.Time        // by kind of step
	helping   bool                        // it is another process's run
	even      int                         // rows that a batch aims at, at most
	lockedOut int                         // leaves whose drop never got its locks; only drops touches it, as the next one
	dropped   map[uint32]bool             // leaves that went whole
	due       map[string]map[uint32]int64 // rows by disposition and leaf, 0 for a plain table, when they were last counted; nil for a helper

	counts    chan struct{} // as many places as categories may count at once
	vacuuming chan struct{} // the one place for a VACUUM in the midst of a run

	keys     heldKeys
	pressure atomic.Pointer[Pause] // why no batch may begin, by the last look; nil: nothing
	halt     halt

	mu      sync.Mutex           // guards what follows
	spent   int64                // rows of the category's table that went
	strange map[string]time.Time // when a step was first found in a stranger's hands
	locked  map[string]bool      // steps that have met locks
}
