package sweeper

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// slot is one moment at which a category is due.
type slot struct {
	category string
	due      time.Time
}

// readSlots reads the next slot of every scheduled category, and the server's
// clock.
func readSlots(ctx context.Context, conn *pgx.Conn) (slots []slot, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, `select category, next_due, clock_timestamp() from sweeper.schedules right join (select) one on next_due is not null
		order by next_due, category`)
	if err != nil {
		return nil, now, pg.Wrap("read the schedules", err)
	}
	var category *string
	var due *time.Time
	_, err = pgx.ForEachRow(rows, []any{&category, &due, &now}, func() error {
		if category != nil {
			slots = append(slots, slot{*category, *due})
		}
		return nil
	})
	return slots, now, pg.Wrap("read the schedules", err)
}

// syncSQL keeps a slot that is still to come as long as the schedule stays the
// same, and one that is overdue in any case: it runs once.
const syncSQL = `
	insert into sweeper.schedules as s (category, expression, timezone, next_due) values ($1, $2, $3, $4)
	on conflict (category) do update set expression = excluded.expression, timezone = excluded.timezone, updated_at = clock_timestamp(),
	       next_due = case when s.next_due <= clock_timestamp() then s.next_due else excluded.next_due end
	 where s.next_due is null or (s.expression, s.timezone) is distinct from (excluded.expression, excluded.timezone)`

// syncSlots brings the stored schedules to those of the policies. Categories
// that are disabled or gone have no next slot.
func syncSlots(ctx context.Context, conn *pgx.Conn, l loaded) error {
	return pg.Wrap("bring the schedules up to date", pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
			return pg.Wrap("read the database's clock", err)
		}
		b := &pgx.Batch{}
		names := []string{}
		for _, c := range l.set.Categories { // sorted: two processes never wait for each other in a circle
			s, enabled := l.schedules[c.Name]
			if !enabled {
				continue
			}
			names = append(names, c.Name)
			b.Queue(syncSQL, c.Name, s.String(), c.Timezone, s.Next(now))
		}
		b.Queue(`update sweeper.schedules set next_due = null, updated_at = clock_timestamp() where next_due is not null and category <> all ($1)`, names)
		return pg.Wrap("store the schedules", tx.SendBatch(ctx, b).Close())
	}))
}

// moveSlot goes on to the slot after one that has run. It does nothing when the
// schedule was changed meanwhile.
func moveSlot(ctx context.Context, tx pgx.Tx, s slot, next time.Time) error {
	_, err := tx.Exec(ctx, `update sweeper.schedules set last_due = next_due, next_due = $3, updated_at = clock_timestamp()
		where category = $1 and next_due = $2`, s.category, s.due, next)
	return pg.Wrap("move the schedule of category "+s.category, err)
}

// endedSQL ends the runs that a process left behind, with what they did, and
// tells the purge log so. Whoever holds the category ($2) knows that nobody
// else runs its schedule; of other runs only those of a process without any
// session are left behind.
const endedSQL = `
	with gone as (
	  update sweeper.runs r set state = 'failed', stop_reason = 'the process ended', finished_at = clock_timestamp(),
	         deleted = coalesce((select sum(b.row_count) from sweeper.batches b where b.run_id = r.run_id and b.fact = 'report' and b.kind <> 'redact'), 0),
	         redacted = coalesce((select sum(b.row_count) from sweeper.batches b where b.run_id = r.run_id and b.fact = 'report' and b.kind = 'redact'), 0),
	         partitions_dropped = (select count(*) from sweeper.batches b where b.run_id = r.run_id and b.fact = 'report' and b.kind = 'drop_partition')
	   where r.category = $1 and r.state = 'running'
	     and (r.reason = 'retention_cron' and $2 or not exists (
	          select from pg_stat_activity a where a.application_name = 'sweeper/' || r.instance and a.datname = current_database()))
	  returning *)
	insert into sweeper.batches (fact, reason, category, actor, run_id, policy_sha256, started_at)
	select 'run_end', reason, category, actor, run_id, policy_sha256, started_at from gone`

// takeSlot makes a due slot this process's own: what an earlier holder of the
// category left behind is ended first. false: another process was faster. The
// lock on the category is the caller's.
func takeSlot(ctx context.Context, conn *pgx.Conn, s slot, self instance) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*endTimeout)
	defer cancel()
	var due bool
	var left []string
	err := conn.QueryRow(ctx, `
		select exists (select from sweeper.schedules where category = $1 and next_due = $2 and next_due <= clock_timestamp()),
		       array(select distinct instance from sweeper.runs where category = $1 and state = 'running' and reason = 'retention_cron' and instance <> $3)`,
		s.category, s.due, string(self)).Scan(&due, &left)
	if err != nil || !due {
		return false, pg.Wrap("take category "+s.category, err)
	}
	for _, other := range left {
		if err := endSessions(ctx, conn, instance(other).purger()); err != nil {
			return false, err
		}
	}
	_, err = conn.Exec(ctx, endedSQL, s.category, true)
	return err == nil, pg.Wrap("end what was left of category "+s.category, err)
}
