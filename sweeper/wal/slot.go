package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

const (
	createTimeout = 60 * time.Second
	dropTimeout   = 10 * time.Second
	dropPause     = 50 * time.Millisecond
)

// Status is what the server tells about a slot.
type Status struct {
	Exists, Active   bool
	Making           bool // it waits for the transactions that were open when it was asked for, and shows nothing that is committed meanwhile
	ActivePID        int  // of the session that reads or makes it; 0 when none does
	Plugin, Database string
	Confirmed        pglogrepl.LSN // acknowledged; what was committed before it does not come again
	Restart          pglogrepl.LSN // the oldest WAL that the slot holds back; 0 when lost
	WALStatus        string        // reserved, extended, unreserved or lost
	RetainedBytes    int64         // WAL from Restart to the server's current end
}

// SlotStatus looks a slot up. A slot that does not exist is no error.
func SlotStatus(ctx context.Context, conn *pgx.Conn, slot string) (Status, error) {
	const sql = `
		select active, confirmed_flush_lsn is null, coalesce(active_pid, 0), coalesce(plugin, ''), coalesce(database, ''),
		       coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(restart_lsn, '0/0')::text, coalesce(wal_status, ''),
		       coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
		                                     else pg_current_wal_lsn() end, restart_lsn), 0)::bigint
		from pg_catalog.pg_replication_slots where slot_name = $1`
	op := fmt.Sprintf("look up slot %q", slot)
	s := Status{Exists: true}
	var confirmed, restart string
	err := conn.QueryRow(ctx, sql, slot).Scan(&s.Active, &s.Making, &s.ActivePID, &s.Plugin, &s.Database,
		&confirmed, &restart, &s.WALStatus, &s.RetainedBytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, pg.Wrap(op, err)
	}
	if s.Confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
		return Status{}, pg.Wrap(op, err)
	}
	if s.Restart, err = pglogrepl.ParseLSN(restart); err != nil {
		return Status{}, pg.Wrap(op, err)
	}
	return s, nil
}

// SlotOption changes how CreateSlot makes the slot.
type SlotOption func(*slotOptions)

type slotOptions struct {
	failover bool
	timeout  time.Duration
}

// Failover has the slot follow to a promoted standby. Only servers from 17 on
// can; older ones refuse.
func Failover() SlotOption { return func(o *slotOptions) { o.failover = true } }

// CreateSlot makes a logical slot for pgoutput, to be called after the
// publications exist. The server waits until every transaction that writes has
// ended, in all databases; after 60 s CreateSlot gives up and names the
// sessions that it waited for. conn must not be inside a transaction.
func CreateSlot(ctx context.Context, conn *pgx.Conn, slot string, with ...SlotOption) error {
	if err := checkSlotName(slot); err != nil {
		return err
	}
	o := slotOptions{timeout: createTimeout}
	for _, option := range with {
		option(&o)
	}
	sql := "select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')"
	if o.failover {
		sql = "select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', failover => true)"
	}
	bounds := fmt.Sprintf("set local statement_timeout = %d; set local lock_timeout = 0", o.timeout.Milliseconds())
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, bounds); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql, slot)
		return err
	})
	op := fmt.Sprintf("create slot %q", slot)
	if pg.SQLState(err) == "57014" {
		return waitedFor(ctx, conn, fmt.Sprintf("%s within %s", op, o.timeout), err)
	}
	return pg.Wrap(op, err)
}

// waitedFor names the sessions whose transactions hold a slot's creation up.
func waitedFor(ctx context.Context, conn *pgx.Conn, op string, cause error) error {
	// pg_locks shows every session's transaction to every role, as
	// pg_stat_activity does not. Prepared transactions have no session.
	const sql = `select coalesce(pid, 0), count(*) from pg_catalog.pg_locks
		where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted and pid is distinct from pg_backend_pid()
		group by 1 order by 1`
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return pg.Wrap(op, cause)
	}
	var names []string
	var pid, count int
	_, err = pgx.ForEachRow(rows, []any{&pid, &count}, func() error {
		if pid == 0 {
			names = append(names, fmt.Sprintf("%d prepared transactions", count))
		} else {
			names = append(names, fmt.Sprintf("pid %d", pid))
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return pg.Wrap(op, cause)
	}
	return fmt.Errorf("%w: it waits for transactions that write (%s), end them or try again later", pg.Wrap(op, cause), strings.Join(names, ", "))
}

// DropSlot removes a slot; one that does not exist is no error. A session that
// reads it is ended only when its application_name is application, and waited
// for up to 10 s; any other makes it ErrSlotBusy.
func DropSlot(ctx context.Context, conn *pgx.Conn, slot, application string) error {
	op := fmt.Sprintf("drop slot %q", slot)
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	pause := time.NewTicker(dropPause)
	defer pause.Stop()
	for {
		s, err := SlotStatus(ctx, conn, slot)
		switch {
		case err != nil:
			return err
		case !s.Exists:
			return nil
		case s.Active:
			err = endWalsender(ctx, conn, s.ActivePID, application)
		default:
			_, err = conn.Exec(ctx, "select pg_catalog.pg_drop_replication_slot($1)", slot)
		}
		switch pg.SQLState(err) {
		case "55006", "42704": // taken or dropped by another meanwhile: look again
		default:
			if err != nil {
				return pg.Wrap(op, err)
			}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", op, ErrSlotBusy)
		}
	}
}

// endWalsender ends the session pid if it is ours by name.
func endWalsender(ctx context.Context, conn *pgx.Conn, pid int, application string) error {
	const sql = `select application_name = $2, application_name = $2 and pg_terminate_backend(pid)
		from pg_catalog.pg_stat_activity where pid = $1`
	var ours, ended bool
	err := conn.QueryRow(ctx, sql, pid, application).Scan(&ours, &ended)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // gone meanwhile
		return nil
	case err != nil:
		return err
	case !ours:
		return fmt.Errorf("it is active for PID %d: %w", pid, ErrSlotBusy)
	}
	return nil
}
