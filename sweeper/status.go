package sweeper

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// CategoryStatus is how one category stands.
type CategoryStatus struct {
	Category      string     `json:"category"`
	Enabled       bool       `json:"enabled"`
	Mode          string     `json:"mode"`
	Retention     *string    `json:"retention"`
	LastState     *string    `json:"last_state"`
	LastSweep     *time.Time `json:"last_sweep"`
	NextSweep     *time.Time `json:"next_sweep"` // NULL while no daemon schedules it
	Due           *int64     `json:"due_rows"`
	Held          *int64     `json:"held_rows"`
	Blocked       *int64     `json:"blocked_rows"`
	OldestOverdue *time.Time `json:"oldest_overdue"`
	PurgedTotal   int64      `json:"purged_total"`
	Coverage      string     `json:"coverage"`
	RunDone       *int64     `json:"run_done"` // rows that a run which is under way has purged so far, of RunPlanned; NULL: none is
	RunPlanned    *int64     `json:"run_planned"`
	StopReason    *string    `json:"stop_reason"`
	WaitsFor      *string    `json:"waits_for"` // why that run stands still at this moment; NULL: it does not
	Paused        *string    `json:"paused"`    // who has paused the category, and since when; NULL: nobody
	DeadRows      *int64     `json:"dead_rows"` // that wait for a VACUUM, by the server's statistics
}

// LogStatus is how the purge log stands.
type LogStatus struct {
	Entries    int64             // 0: it has not begun
	Slot       wal.Status        // of the slot that feeds it
	LagBytes   int64             // WAL that is not in the log yet; an idle log lags by up to 16 MiB that hold nothing for it
	Applied    string            // LSN up to which the log is complete
	UpdatedAt  *time.Time        // when it last moved
	Mismatches int64             // entries of that kind
	Gaps       int64             // and of that
	LastAlarm  *time.Time        // when the last of both was logged
	Unhealthy  []string          // why nothing may be purged; none: healthy
	Holds      int64             // legal holds in force
	Checkpoint *CheckpointStatus // the newest; nil: there is none
	Source     string            // server and slot, as a daemon that looks after them calls them
}

// Status tells how categories and log stand. now is by this machine's clock.
func Status(ctx context.Context, cfg Config, now time.Time) ([]CategoryStatus, LogStatus, error) {
	conn, err := cfg.operate(ctx, "sweeper status", roleAuditor, nil)
	if err != nil {
		return nil, LogStatus{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		select s.category, s.enabled, s.mode, s.retention::text, r.state, r.finished_at, s.next_run_at, s.due_rows, s.held_rows, s.blocked_rows,
		       s.oldest_overdue, s.purged_total, s.coverage,
		       p.deleted + p.redacted, p.planned, r.stop_reason, p.why,
		       (select format('by %s since %s', x.actor, to_char(timezone('UTC', x.paused_at), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) from sweeper.paused x where x.category = s.category),
		       (select sum(t.n_dead_tup)::bigint from sweeper.governed g join pg_stat_all_tables t on t.relid = g.relation or t.relid in (select l.relid from pg_partition_tree(g.relation) l)
		         where g.category = s.category)
		  from sweeper.policy_status s
		  left join lateral (select * from sweeper.runs r where r.category = s.category order by r.started_at desc limit 1) r on true
		  left join sweeper.run_progress p on p.run_id = r.run_id
		 order by s.category`)
	if err != nil {
		return nil, LogStatus{}, pg.Wrap("read the status of the categories", err)
	}
	categories, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CategoryStatus])
	if err != nil {
		return nil, LogStatus{}, pg.Wrap("read the status of the categories", err)
	}
	l, err := logStatus(ctx, conn, cfg, now)
	return categories, l, err
}

func logStatus(ctx context.Context, conn *pgx.Conn, cfg Config, now time.Time) (LogStatus, error) {
	var l LogStatus
	var err error
	if l.Slot, err = wal.SlotStatus(ctx, conn, cfg.Slot); err != nil {
		return l, err
	}
	var ahead bool
	err = conn.QueryRow(ctx, `
		select coalesce((select size from sweeper.log_head), 0),
		       coalesce(p.applied_lsn::text, ''), p.updated_at,
		       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), p.applied_lsn), 0)::bigint,
		       coalesce(p.applied_lsn < $2::text::pg_lsn, false),
		       (select count(*) from sweeper.legal_holds where released_at is null and (expires_at is null or expires_at > now()))
		  from (select) one left join sweeper.log_progress p on p.slot = $1`, cfg.Slot, l.Slot.Confirmed.String()).
		Scan(&l.Entries, &l.Applied, &l.UpdatedAt, &l.LagBytes, &ahead, &l.Holds)
	if err != nil {
		return l, pg.Wrap("read the status of the purge log", err)
	}
	err = conn.QueryRow(ctx, alarmsSQL).Scan(&l.Mismatches, &l.Gaps, &l.LastAlarm)
	if err != nil {
		return l, pg.Wrap("look for gaps and mismatches in the purge log", err)
	}
	if l.Checkpoint, err = newestCheckpoint(ctx, conn); err != nil {
		return l, err
	}
	l.Source, l.Unhealthy, err = evidenceNow(ctx, conn, cfg, now, ahead)
	return l, err
}

// alarmsSQL counts the entries that say that evidence is wrong or missing.
const alarmsSQL = `
	select count(*) filter (where kind = 'mismatch'), count(*) filter (where kind = 'gap'), max(logged_at)
	  from sweeper.purge_log where kind in ('mismatch', 'gap')`

// evidenceNow makes the checks of the monitor that need no second look. What a
// role may not see is left out.
func evidenceNow(ctx context.Context, conn *pgx.Conn, cfg Config, now time.Time, ahead bool) (source string, unhealthy []string, err error) {
	f, err := readServer(ctx, conn, cfg, "")
	if err != nil {
		return "", nil, err
	}
	l, err := readLog(ctx, conn, cfg)
	mayRead := pg.SQLState(err) != "42501"
	if err != nil && mayRead {
		return "", nil, err
	}
	found := []string{judgeClock(f, l, now), judgeSlot(f, l, cfg), judgePublications(f)}
	if ahead {
		found = append(found, fmt.Sprintf("slot %s is ahead of the purge log: what was committed in between was never logged, and whoever reads the slot next says so in the log", cfg.Slot))
	}
	if mayRead {
		found = append(found, new(memory).judgeChain(l, 0))
		if l.SystemID != nil && *l.SystemID != f.SystemID {
			found = append(found, "the purge log belongs to another server than this one")
		}
	}
	return f.SystemID + "/" + cfg.Slot, slices.DeleteFunc(found, func(s string) bool { return s == "" }), nil
}
