package sweeper

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
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
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
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
	})
}

// moveSlot goes on to the slot after one that has run. It does nothing when the
// schedule was changed meanwhile.
func moveSlot(ctx context.Context, tx pgx.Tx, s slot, next time.Time) error {
	_, err := tx.Exec(ctx, `update sweeper.schedules set last_due = next_due, next_due = $3, updated_at = clock_timestamp()
		where category = $1 and next_due = $2`, s.category, s.due, next)
	return pg.Wrap("move the schedule of category "+s.category, err)
}

// takeCategory takes the right to run a category, from a frozen process too. It
// is conn's for as long as that lives.
func takeCategory(ctx context.Context, conn *pgx.Conn, log *slog.Logger, category string) (mine bool, err error) {
	key := pg.CategoryLock(category)
	lock := func() error {
		ctx, cancel := context.WithTimeout(ctx, beatTimeout)
		defer cancel()
		err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1::int, $2::int)`, pg.LockSpace, key).Scan(&mine)
		return pg.Wrap("take category "+category, err)
	}
	if err := lock(); err != nil || mine {
		return mine, err
	}
	free, err := endFrozen(ctx, conn, log, key)
	if err == nil && free {
		err = lock()
	}
	return mine, err
}

// endedSQL ends the runs that a process left behind, with what they did, and
// tells the purge log so. As in a run that ends by itself, rows of the
// category's table are told from those that went along with them, as far as the
// policies still have the category.
const endedSQL = `
	with gone as (
	  update sweeper.runs r set state = 'failed', stop_reason = 'the process ended', finished_at = clock_timestamp(),
	         deleted = done.deleted, redacted = done.redacted, children = done.children, partitions_dropped = done.dropped, remaining = greatest(0, r.planned - done.deleted - done.redacted)
	    from (select o.run_id, coalesce(sum(b.row_count) filter (where b.kind in ('delete', 'drop_partition') and (b.relation = g.relation_name) is not false), 0) as deleted,
	                 coalesce(sum(b.row_count) filter (where b.kind = 'redact' and (b.relation = g.relation_name) is not false), 0) as redacted,
	                 coalesce(sum(b.row_count) filter (where b.relation <> g.relation_name), 0) as children,
	                 count(*) filter (where b.kind in ('drop_partition', 'detach_partition')) as dropped
	            from sweeper.runs o left join sweeper.governed g using (category) left join sweeper.batches b on b.run_id = o.run_id and b.fact = 'report'
	           where o.category = $1 and o.state = 'running' group by 1) done
	   where r.run_id = done.run_id and r.state = 'running'
	  returning r.*)
	insert into sweeper.batches (fact, reason, category, actor, run_id, policy_sha256, started_at)
	select 'run_end', reason, category, actor, run_id, policy_sha256, started_at from gone`

// endWait bounds the wait for a batch of somebody who helps with a run that is
// to be ended.
const endWait = "10s"

// endLeft ends what an earlier holder of the category left behind: sessions
// that still work for it, and then its runs. The lock on the category is the
// caller's.
func endLeft(ctx context.Context, conn *pgx.Conn, category string, self instance) error {
	ctx, cancel := context.WithTimeout(ctx, 2*endTimeout)
	defer cancel()
	var left []string
	err := conn.QueryRow(ctx, `select array(select distinct instance from sweeper.runs where category = $1 and state = 'running' and instance <> $2)`,
		category, string(self)).Scan(&left)
	if err != nil {
		return pg.Wrap("look what was left of category "+category, err)
	}
	for _, other := range left {
		if err := endSessions(ctx, conn, instance(other).purger()); err != nil {
			return err
		}
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true)`, endWait); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select run_id from sweeper.runs where category = $1 and state = 'running'`, category)
		if err != nil {
			return err
		}
		runs, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		for _, run := range runs { // what a helper has under way is counted, and it begins nothing more
			if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1::int, $2::int)`, pg.LockSpace, pg.RunLock(run)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, endedSQL, category)
		return err
	})
	return pg.Wrap("end what was left of category "+category, err)
}

// takeSlot makes a due slot this process's own. false: another process was
// faster. The lock on the category is the caller's.
func takeSlot(ctx context.Context, conn *pgx.Conn, s slot, self instance) (bool, error) {
	looking, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	var due bool
	err := conn.QueryRow(looking, `select exists (select from sweeper.schedules where category = $1 and next_due = $2 and next_due <= clock_timestamp())`,
		s.category, s.due).Scan(&due)
	if err != nil || !due {
		return false, pg.Wrap("take category "+s.category, err)
	}
	return true, endLeft(ctx, conn, s.category, self)
}
