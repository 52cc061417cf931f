package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// help is what the scheduler knows of the runs of other processes. A process
// with nothing to run takes steps of one of them, one run at a time.
type help struct {
	run   uuid.UUID                     // the one that is helped with now; Nil: none
	after time.Time                     // by this process's clock: no look before
	ended chan bool                     // whether it was of use
	taken map[uuid.UUID]map[string]bool // the steps that were taken of each; nil: of no use here
	busy  atomic.Bool                   // this process has a run of its own, and helps no more
}

// foreign is a run that another process has under way.
type foreign struct {
	ID       uuid.UUID
	Category string
	AsOf     time.Time
	Hash     string
	Reason   string
	Actor    string
	Instance string
}

// lend looks for a run of another process, under the policies that are in force
// here too, and helps with it.
func (s *scheduler) lend(soft, runs context.Context, wg *sync.WaitGroup, l loaded) error {
	if s.help.run != uuid.Nil || s.now().Before(s.help.after) {
		return nil
	}
	all, err := readForeign(runs, s.conn, l, s.instance)
	if err != nil {
		return err
	}
	s.help.forget(all)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, one := range all {
		taken, known := s.help.taken[one.ID]
		if known && taken == nil {
			continue
		}
		lives, err := holdsCategory(runs, s.conn, one)
		if err != nil {
			return err
		}
		if !lives {
			continue
		}
		if !known {
			taken = map[string]bool{}
			s.help.taken[one.ID] = taken
		}
		s.help.run = one.ID
		wg.Go(func() { s.help.ended <- s.assist(soft, runs, l, one, taken) })
		return nil
	}
	return nil
}

// over takes note that the help has ended. With a run that is of no use to
// others it is not tried again.
func (h *help) over(useful bool, now time.Time) {
	if !useful {
		h.taken[h.run] = nil
	}
	h.run, h.after = uuid.Nil, now.Add(lookEvery)
}

// forget drops what is known of runs that are over.
func (h *help) forget(running []foreign) {
	there := map[uuid.UUID]bool{}
	for _, one := range running {
		there[one.ID] = true
	}
	for id := range h.taken {
		if !there[id] {
			delete(h.taken, id)
		}
	}
}

// readForeign reads the newest run of each category of the policies, where it
// belongs to another process and goes on.
func readForeign(ctx context.Context, conn *pgx.Conn, l loaded, self instance) ([]foreign, error) {
	names := make([]string, 0, len(l.schedules))
	for name := range l.schedules {
		names = append(names, name)
	}
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, `
		select r.run_id, r.category, r.as_of, r.plan_hash, r.reason, r.actor, r.instance
		  from unnest($1::text[]) c join lateral (select * from sweeper.runs r where r.category = c order by r.started_at desc limit 1) r on true
		 where r.state = 'running' and r.instance <> $2 and r.policy_sha256 = $3`, names, string(self), l.set.SHA256[:])
	if err != nil {
		return nil, pg.Wrap("read the runs of other processes", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[foreign])
	return all, pg.Wrap("read the runs of other processes", err)
}

// holdsCategory tells whether the process that a run belongs to still has the
// right to it.
func holdsCategory(ctx context.Context, conn *pgx.Conn, one foreign) (bool, error) {
	h, err := holderOf(ctx, conn, pg.CategoryLock(one.Category))
	return h != nil && h.own && h.application == instance(one.Instance).purger(), err
}

// planForeign makes the plan of a run anew. nil: it is another one, or one in
// which no two steps can be walked beside each other.
func (s *scheduler) planForeign(ctx context.Context, l loaded, one foreign) (p *plan.Plan, err error) {
	err = s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		built, _, m, err := buildFitting(ctx, c.Conn(), s.cfg, l.set, one.AsOf)
		if err == nil {
			m.add(l.refused, l.set)
			err = narrow(built, m, SweepOptions{Category: one.Category})
		}
		if err != nil {
			s.log.DebugContext(ctx, "run not helped with", slog.String(KeyRun, one.ID.String()), slog.Any(KeyErr, err))
			if transient(err) {
				return err
			}
			return nil
		}
		var dropped []string
		err = c.QueryRow(ctx, `select array(select partition from sweeper.batches where run_id = $1 and fact = 'report' and kind in ('drop_partition', 'detach_partition'))`, one.ID).Scan(&dropped)
		if err != nil {
			return pg.Wrap("read what a run has dropped", err)
		}
		category := built.Categories()[0]
		if built.HashAfter(category, dropped) == one.Hash && purge.Helpful(category) {
			p = built
		}
		return nil
	})
	return p, err
}

// errElsewhere is why a helper leaves: its process has other things to do now.
var errElsewhere = errors.New("this process has a run of its own, or other policies")

// assist walks steps of a run of another process, and tells whether that run has
// steps for others at all.
func (s *scheduler) assist(soft, runs context.Context, l loaded, one foreign, taken map[string]bool) (useful bool) {
	p, err := s.planForeign(runs, l, one)
	if err != nil || p == nil {
		return err != nil
	}
	stop, leave := context.WithCancel(soft)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer leave()
	watching.Go(func() { s.watch(stop, leave, one) })
	options := s.cfg.purging(s.log, s.instance, s.now)
	options.Stop, options.Slots, options.Standbys, options.Batched = stop, s.slots, &s.lag, s.health.metrics().batched
	options.Healthy = func() error {
		if s.help.busy.Load() || s.policies().set.SHA256 != l.set.SHA256 {
			return errElsewhere
		}
		return s.health.healthy()
	}
	of := purge.Shared{ID: one.ID, Owner: instance(one.Instance).purger(), Reason: one.Reason, Actor: one.Actor}
	rows, err := purge.Help(runs, s.pool, p, p.Categories()[0], of, taken, options)
	level := slog.LevelDebug
	if rows > 0 {
		level = slog.LevelInfo
	}
	log := s.log.With(slog.String(KeyPolicy, one.Category), slog.String(KeyRun, one.ID.String()))
	log.Log(runs, level, "helped with a run", slog.Int64(KeyRows, rows))
	if err != nil && runs.Err() == nil {
		log.WarnContext(runs, "help ended early", slog.Any(KeyErr, err)) // the owner meets it too
	}
	return true
}

// watch has a helper leave when the process that it helps no longer has the
// category.
func (s *scheduler) watch(ctx context.Context, leave func(), one foreign) {
	defer leave()
	for sleep(ctx, lookEvery) == nil {
		lives := false
		err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
			lives, err = holdsCategory(ctx, c.Conn(), one)
			return err
		})
		if err != nil || !lives {
			return
		}
	}
}
