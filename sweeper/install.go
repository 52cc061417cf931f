package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// installWait bounds how long an install waits for another one.
const installWait = 30 * time.Second

// Statement is one statement of an installation, with what it is for.
type Statement struct {
	Why string
	SQL string
}

// Installation is what stands between a database and the policies.
type Installation struct {
	Statements []Statement // in one transaction, by the installing role
	Slot       string      // to be created afterwards; "" it exists
	Failover   bool        // the slot can follow to a standby that is promoted
	ByOwners   []Statement // what the owners of the tables have to run
}

// Empty tells that nothing is to be done.
func (i Installation) Empty() bool { return len(i.Statements) == 0 && i.Slot == "" }

// scriptSettings are those that the statements' texts depend on; on a
// connection of ours they are pinned.
const scriptSettings = `SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL search_path = pg_catalog, pg_temp;
`

// Script is the installation as SQL for a DBA, to be run by psql.
func (i Installation) Script() string {
	var b strings.Builder
	if len(i.Statements) > 0 {
		b.WriteString("BEGIN;\n")
		b.WriteString(scriptSettings)
		writeStatements(&b, i.Statements)
		b.WriteString("COMMIT;\n")
	}
	if i.Slot != "" {
		failover := ""
		if i.Failover {
			failover = ", failover => true"
		}
		fmt.Fprintf(&b, "\n-- the slot, after the publications\nSELECT pg_catalog.pg_create_logical_replication_slot('%s', 'pgoutput'%s);\n", i.Slot, failover)
	}
	if len(i.ByOwners) > 0 {
		b.WriteString("\n-- To be decided and run by the owners of the tables or by a superuser; not part of this script:\n")
		var theirs strings.Builder
		writeStatements(&theirs, i.ByOwners)
		for line := range strings.Lines(theirs.String()) {
			b.WriteString(strings.TrimSpace("-- "+strings.TrimPrefix(line, "-- ")) + "\n")
		}
	}
	return b.String()
}

// writeStatements escapes what could end a comment: a table's name may hold a
// line break.
func writeStatements(b *strings.Builder, all []Statement) {
	for _, s := range all {
		fmt.Fprintf(b, "\n-- %s\n%s\n", Printable(s.Why), strings.TrimSpace(s.SQL))
	}
}

// Install brings the database of SWEEPER_INSTALL_URL to what this binary and
// the policies need, and tells what it did. With print it changes nothing and
// tells what it would do. Policies that do not fit the database, or that
// this version does not apply as a whole, are refused before anything is touched.
func Install(ctx context.Context, cfg Config, log *slog.Logger, set policy.Set, print bool) (Installation, error) {
	if err := set.Applicable(); err != nil {
		return Installation{}, err
	}
	conn, err := connect(ctx, cfg.InstallURL, "sweeper install")
	if err != nil {
		return Installation{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s, err := inspect(ctx, conn)
	if err == nil {
		err = s.fit()
	}
	if err == nil {
		err = s.seen(roleOwner)
	}
	if err == nil {
		err = s.notNewer()
	}
	if err != nil {
		return Installation{}, err
	}
	if print {
		return script(ctx, conn, s, cfg, set)
	}
	var done Installation
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := lockInstall(ctx, tx); err != nil {
			return err
		}
		// Read again under the lock: another install may have been faster.
		if s, err = inspect(ctx, conn); err == nil {
			err = s.notNewer()
		}
		if err == nil {
			done, err = script(ctx, conn, s, cfg, set)
		}
		if err != nil {
			return err
		}
		for _, st := range done.Statements {
			log.DebugContext(ctx, "install", slog.String("step", st.Why))
			if err := run(ctx, conn, st.SQL); err != nil {
				return pg.WrapCall("install: "+st.Why, err)
			}
		}
		failpoint.Hit("install.in_transaction")
		return nil
	})
	failpoint.Hit("install.committed")
	if err != nil || done.Slot == "" {
		return done, err
	}
	return done, createSlot(ctx, conn, done, s.database)
}

// createSlot takes a slot for made that another install made in the meantime:
// a slot is made outside of transactions, and so outside of the lock. Of an
// install that was killed the server goes on to make it, and nothing is
// witnessed before it is done.
func createSlot(ctx context.Context, conn *pgx.Conn, done Installation, database string) error {
	slot := done.Slot
	var options []wal.SlotOption
	if done.Failover {
		options = append(options, wal.Failover())
	}
	waiting, cancel := context.WithTimeout(ctx, installWait)
	defer cancel()
	for {
		err := wal.CreateSlot(ctx, conn, slot, options...)
		if pg.SQLState(err) != "42710" {
			return err
		}
		status, look := wal.SlotStatus(ctx, conn, slot)
		switch {
		case look != nil || status.Exists && status.Database != database:
			return err
		case status.Exists && !status.Making:
			return nil
		}
		if sleep(waiting, poll) != nil {
			return &SetupError{
				fmt.Sprintf("slot %s is still being made by pid %d, which waits for transactions that write", slot, status.ActivePID),
				"run sweeper install again when they have ended",
			}
		}
	}
}

// lockInstall waits for another install in this database, for a bounded time.
func lockInstall(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true)`, fmt.Sprintf("%dms", installWait.Milliseconds()))
	if err == nil {
		_, err = tx.Exec(ctx, `select pg_advisory_xact_lock($1::int, $2::int)`, pg.LockSpace, pg.LockInstall)
	}
	return pg.Wrap(fmt.Sprintf("wait up to %s for another install", installWait), err)
}

// run sends SQL that may hold several statements.
func run(ctx context.Context, conn *pgx.Conn, sql string) error {
	return conn.PgConn().Exec(ctx, sql).Close()
}

// script compares the database with what it should be.
func script(ctx context.Context, conn *pgx.Conn, s server, cfg Config, set policy.Set) (Installation, error) {
	cat, err := readCatalog(ctx, conn, set)
	if err != nil {
		return Installation{}, err
	}
	if err := fits(ctx, conn, set, cat, false); err != nil {
		return Installation{}, err
	}
	if s.schema != nil {
		if err := errors.Join(keepsHolds(ctx, conn, set, cat), keepsLocks(ctx, conn, cfg, set)); err != nil {
			return Installation{}, err
		}
	}
	w := &writer{conn: conn, cfg: cfg, set: set, cat: cat, server: s}
	for _, part := range []func(context.Context) error{w.schema, w.stats, w.tableGrants, w.revokes, w.publications, w.govern, w.eventTriggers, w.views, w.owners, w.slot} {
		if err := part(ctx); err != nil {
			return Installation{}, err
		}
	}
	return w.out, nil
}

// readCatalog reads the governed tables and, for the foreign keys between
// them, nothing else.
func readCatalog(ctx context.Context, q catalog.Querier, set policy.Set) (*catalog.Catalog, error) {
	return catalog.Read(ctx, q, plan.Tables(set))
}
