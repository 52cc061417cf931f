package purge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// vacuumRows is how many rows have to go from a table or a partition before it is
// worth a VACUUM of ours, or a word about somebody else's.
const vacuumRows = 10000

// mayVacuumSQL is whether we may vacuum a table c: who may not is told so by a
// warning alone.
const mayVacuumSQL = `
	       case when current_setting('server_version_num')::int >= 170000 then has_table_privilege(c.oid, 'MAINTAIN')
	            else pg_has_role(c.relowner, 'USAGE') or (select pg_has_role(d.datdba, 'USAGE') from pg_database d where d.datname = current_database()) end`

// purgedTablesSQL are the tables from which a run has purged much, and whether we
// may vacuum them.
const purgedTablesSQL = `
	select n.nspname, c.relname,` + mayVacuumSQL + `
	  from (select coalesce(partition, relation) as name from sweeper.batches
	         where run_id = $1 and fact = 'report' and kind in ('delete', 'redact') group by 1 having sum(row_count) >= $2) b
	  join pg_class c on c.oid = to_regclass(b.name) and c.relkind = 'r'
	  join pg_namespace n on n.oid = c.relnamespace`

// deadTablesSQL are those of a run's tables that have a larger share of dead rows
// than all of them together may, whoever left them: if none has, neither have all.
const deadTablesSQL = `
	select n.nspname, c.relname,` + mayVacuumSQL + `
	  from pg_stat_all_tables s
	  join pg_class c on c.oid = s.relid and c.relkind = 'r'
	  join pg_namespace n on n.oid = c.relnamespace
	 where s.relid = any ($1) and s.n_dead_tup > $2::float8 * (s.n_dead_tup + s.n_live_tup)
	 order by s.n_dead_tup desc`

// vacuumedSQL writes down which tables the server's statistics say were vacuumed
// after the last of many rows of the category had gone, by whomever. That is all it
// claims: nothing of old transactions that see the rows still and keep them from the
// VACUUM, of the write-ahead log, of standbys, or of backups. Each is said once. Of
// runs that are older than a week it says nothing.
const vacuumedSQL = `
	insert into sweeper.batches (fact, category, relation, partition, actor, run_id, policy_sha256, reference, started_at)
	select 'vacuum', $1, p.relation, p.partition, $2, $3, $4,
	       format('%s ended at %s, after the last of %s rows had gone', case when s.last_vacuum >= greatest(s.last_vacuum, s.last_autovacuum) then 'VACUUM' else 'autovacuum' end,
	              to_char(timezone('UTC', greatest(s.last_vacuum, s.last_autovacuum)), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), p.rows),
	       greatest(s.last_vacuum, s.last_autovacuum)
	  from (select b.relation, b.partition, sum(b.row_count) as rows, max(b.at) as last
	          from sweeper.runs r join sweeper.batches b using (run_id)
	         where r.category = $1 and r.started_at > now() - interval '7 days' and b.fact = 'report' and b.kind in ('delete', 'redact')
	           and not exists (select from sweeper.runs q join sweeper.batches v using (run_id)
	                            where q.category = $1 and q.started_at > now() - interval '14 days'
	                              and v.fact = 'vacuum' and v.relation = b.relation and v.partition is not distinct from b.partition and v.started_at > b.at)
	         group by 1, 2 having sum(b.row_count) >= $5) p
	  join pg_stat_all_tables s on s.relid = to_regclass(coalesce(p.partition, p.relation))
	 where greatest(s.last_vacuum, s.last_autovacuum) > p.last`

// vacuum has the space of what went used again, and the statistics forget it, as
// far as we may; elsewhere that is autovacuum's. Then it writes down what was
// vacuumed since it was purged, by an earlier run too. It never fails a run.
func (r *run) vacuum(ctx context.Context, pool *pgxpool.Pool) {
	if r.stopped() || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.Stop != nil {
		defer context.AfterFunc(r.Stop, cancel)()
	}
	if err := r.vacuumTables(ctx, pool, purgedTablesSQL, r.id, vacuumRows); err != nil {
		r.Log.WarnContext(ctx, "vacuum left out", slog.String("policy", r.category.Policy.Name), slog.Any("err", err))
	}
	_, err := pool.Exec(ctx, vacuumedSQL, r.category.Policy.Name, r.Actor, r.id, r.plan.PolicySHA256[:], vacuumRows)
	if err != nil {
		r.Log.WarnContext(ctx, "vacuum not recorded", slog.String("policy", r.category.Policy.Name), slog.Any("err", pg.Wrap("record what was vacuumed", err)))
	}
}

// olderSQL counts the transactions of this database that began before an
// instant.
const olderSQL = `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start <= $1`

// awaitOlder waits at most 2 s for the transactions that are open
// now: what they may see still a VACUUM keeps. The log's own is among them.
func awaitOlder(ctx context.Context, conn *pgxpool.Conn) error {
	var now time.Time
	if err := conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
		return pg.Wrap("look at the clock", err)
	}
	for range olderLooks {
		var n int
		if err := conn.QueryRow(ctx, olderSQL, now).Scan(&n); err != nil || n == 0 {
			return pg.Wrap("look for older transactions", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(olderPause):
		}
	}
	return nil
}

const (
	olderLooks = 40
	olderPause = 50 * time.Millisecond
)

// vacuumDead has the dead rows go for which the run waits.
func (r *run) vacuumDead(ctx context.Context, pool *pgxpool.Pool) {
	err := r.vacuumTables(ctx, pool, deadTablesSQL, r.relations(), r.category.Policy.Limits.MaxDeadShare)
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "vacuum left out", slog.String("policy", r.category.Policy.Name), slog.Any("err", err))
	}
}

// vacuumTables vacuums the tables that a statement names, as far as we may, outside
// of any transaction, as slowly as autovacuum does by default. One that is locked
// leaves the others.
func (r *run) vacuumTables(ctx context.Context, pool *pgxpool.Pool, tables string, args ...any) error {
	rows, err := pool.Query(ctx, tables, args...)
	if err != nil {
		return pg.Wrap("look for tables to vacuum", err)
	}
	var ours []catalog.Name
	var name catalog.Name
	var may bool
	_, err = pgx.ForEachRow(rows, []any{&name.Schema, &name.Relation, &may}, func() error {
		if may {
			ours = append(ours, name)
		} else {
			r.Log.InfoContext(ctx, "vacuum is left to autovacuum", slog.String("table", name.String()))
		}
		return nil
	})
	if err != nil || len(ours) == 0 {
		return pg.Wrap("look for tables to vacuum", err)
	}
	r.vacuums(true)
	defer r.vacuums(false)
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return pg.Wrap("take a connection", err)
	}
	defer conn.Release()
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), `reset lock_timeout; reset statement_timeout; reset vacuum_cost_delay`)
	}()
	_, err = conn.Exec(ctx, `select set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false), set_config('vacuum_cost_delay', '2ms', false)`, milliseconds(r.LockTimeout))
	if err == nil {
		err = awaitOlder(ctx, conn)
	}
	var locked error
	for _, table := range ours {
		if err == nil {
			_, err = conn.Exec(ctx, plan.VacuumSQL(table))
			err = pg.Wrap("vacuum "+table.String(), err)
		}
		if pg.Classify(err) == pg.Retry {
			locked, err = errors.Join(locked, err), nil
		}
	}
	return errors.Join(locked, err)
}
