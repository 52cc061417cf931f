package purge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// The causes of a pause, as sweeper.run_waits and the metrics name them.
const (
	Evidence   = "evidence"    // what is purged would not be proved
	ReplicaLag = "replica_lag" // a physical standby is too far behind
	SlotLag    = "slot_lag"    // the purge log is
	LockWaits  = "lock_waits"  // somebody waits for a lock of ours
	DeadRows   = "dead_rows"   // too much of the table waits for a VACUUM
)

// unseen is the state of a run that could not look at anybody yet. It is none of the
// causes: nobody is known to suffer, so that nothing of it is written down.
const unseen = "unseen"

// Pause is why a run waits between two batches.
type Pause struct {
	Cause string // one of the constants
	Why   string // in a sentence
}

const (
	// pressureEvery is short, since a batch that somebody waits for may end soon.
	pressureEvery   = 250 * time.Millisecond
	pressureTimeout = 5 * time.Second // of one look
)

// pressure is what the work of a run does to others, as it looks from time to
// time.
type pressure struct {
	*run
	pool   *pgxpool.Pool
	tries  int  // of a VACUUM, since too many rows were dead
	seen   bool // a look has succeeded
	failed bool // the last one has not
}

// watch looks at once, and then again and again until the returned function is
// called. Batches begin only while it finds nothing.
func (r *run) watch(ctx context.Context, pool *pgxpool.Pool) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pressure{run: r, pool: pool}
	p.look(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pressureEvery)
		defer tick.Stop()
		for {
			p.mend(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.look(ctx)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// look takes over what it finds. When the server tells nothing, the last finding
// stays; before there is one, no batch begins.
func (p *pressure) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, pressureTimeout)
	defer cancel()
	found, err := p.find(bounded)
	if err != nil {
		if !p.failed && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "pressure not seen", slog.Any("err", err))
		}
		p.failed = true
		if !p.seen {
			p.pressure.Store(&Pause{Cause: unseen, Why: err.Error()})
		}
		return
	}
	p.seen, p.failed = true, false
	p.pressure.Store(found)
}

// mend has dead rows go, once for each pause, and once more: a session tells of its
// last rows late, and what it tells after a VACUUM seems to have outlasted it. The
// first look does not wait for it, so that a run hears of everything else meanwhile.
func (p *pressure) mend(ctx context.Context) {
	switch found := p.pressure.Load(); {
	case found == nil:
		p.tries = 0
	case found.Cause == DeadRows && !p.helping && (p.tries == 0 || p.tries == 1 && p.Now().Sub(p.lastVacuum()) >= statisticsLate):
		select {
		case p.vacuuming <- struct{}{}:
			p.tries++
			p.vacuumDead(ctx, p.pool)
			<-p.vacuuming
		default: // another category does; the next look tries again
		}
	}
}

// statisticsLate is after how long the server's statistics have what sessions did
// that are at work: they tell once a second.
const statisticsLate = 3 * time.Second

const slotLagSQL = `select coalesce(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn), 0)::bigint from pg_replication_slots where slot_name = $1`

// blockedSQL counts the sessions that wait for a lock of this process. Those of
// the sweeper itself are named alike.
const blockedSQL = `
	select count(*) from pg_stat_activity a
	 where a.wait_event_type = 'Lock' and a.datname = current_database() and a.application_name <> current_setting('application_name')
	   and exists (select from unnest(pg_blocking_pids(a.pid)) b join pg_stat_activity o on o.pid = b
	                where o.application_name = current_setting('application_name') and o.usename = current_user)`

// deadSQL are the rows of a table and its partitions that wait for a VACUUM, and
// all, as far as the server's statistics know.
const deadSQL = `select coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(n_dead_tup + n_live_tup), 0)::bigint from pg_stat_all_tables where relid = any ($1)`

func (p *pressure) find(ctx context.Context) (found *Pause, err error) {
	b := &pgx.Batch{}
	first := func(cause, why string) {
		if found == nil {
			found = &Pause{Cause: cause, Why: why}
		}
	}
	if p.MaxReplicaLag > 0 {
		b.Queue(standbysSQL).Query(func(rows pgx.Rows) error { return p.judgeStandbys(rows, first) })
	}
	if p.MaxSlotLag > 0 {
		b.Queue(slotLagSQL, p.Slot).Query(func(rows pgx.Rows) error {
			var lag int64
			_, err := pgx.ForEachRow(rows, []any{&lag}, func() error {
				if lag > p.MaxSlotLag {
					first(SlotLag, fmt.Sprintf("the purge log is %d MiB of WAL behind, more than SWEEPER_MAX_SLOT_LAG allows", lag>>20))
				}
				return nil
			})
			return err
		})
	}
	b.Queue(blockedSQL).QueryRow(func(row pgx.Row) error {
		var n int
		err := row.Scan(&n)
		if n > 0 {
			first(LockWaits, fmt.Sprintf("%d sessions wait for locks of the purge", n))
		}
		return err
	})
	if most := p.category.Policy.Limits.MaxDeadShare; most > 0 {
		b.Queue(deadSQL, p.relations()).QueryRow(func(row pgx.Row) error {
			var dead, all int64
			err := row.Scan(&dead, &all)
			if float64(dead) > most*float64(all) {
				first(DeadRows, fmt.Sprintf("%d of %d rows of %s are dead and wait for a VACUUM, more than max_dead_share %g allows", dead, all, p.category.Table.Text, most))
			}
			return err
		})
	}
	const op = "look at standbys, the slot and lock waits"
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	defer conn.Release()
	if err := pg.Keep(ctx, conn.Conn(), standbysSQL, slotLagSQL, blockedSQL, deadSQL); err != nil {
		return nil, err
	}
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Wrap(op, err)
	}
	return found, nil
}

// relations are the category's table and its partitions, by oid.
func (r *run) relations() []uint32 {
	all := []uint32{r.category.Table.OID}
	for i := range r.category.Table.Leaves {
		all = append(all, r.category.Table.Leaves[i].OID)
	}
	return all
}
