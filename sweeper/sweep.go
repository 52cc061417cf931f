package sweeper

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// SweepOptions are what one call of Sweep says beside the configuration.
type SweepOptions struct {
	Category string // "" all
	PlanHash string // asserts that the plan of Category is still this one; "" does not
	Actor    string
	Source   string // where the policies came from, for policy_versions
	Progress func(purge.Progress)
	Warn     func(string) // hears of gaps that the purge log got meanwhile; nil does not
	Now      func() time.Time
}

// ErrPlanChanged is a plan that is no longer the one that was asked for.
var ErrPlanChanged = errors.New("the plan has changed since; look at it again with: sweeper plan")

// manualReason is why the verb sweep purges.
const manualReason = "manual"

// Sweep purges once what is due and waits until the purge log holds all of it.
// It reads the slot itself when no other process does. Policies with keys that
// this version does not apply are refused, whichever category is asked for.
func Sweep(ctx context.Context, cfg Config, log *slog.Logger, set policy.Set, o SweepOptions) ([]purge.Outcome, error) {
	if err := set.Applicable(); err != nil {
		return nil, err
	}
	self := newInstance()
	conn, _, err := cfg.purger(ctx, self)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := purgelog.CheckHMACKey(ctx, conn, cfg.hmacKeys()...); err != nil {
		return nil, err
	}
	p, cat, m, err := buildFitting(ctx, conn, cfg, set, time.Time{})
	if err != nil {
		return nil, err
	}
	refusedNow, _, err := enters(ctx, conn, cfg, set, cat, m)
	if err != nil {
		return nil, err
	}
	m.add(refusedNow, set)
	p.LeaveOut(func(category string) bool { return m[category] != nil })
	if !m.runs(set) {
		return nil, plan.Join(set, m)
	}
	if err := narrow(p, m, o); err != nil {
		return nil, err
	}
	if err := trusted(ctx, conn, p.AsOf, o.Now()); err != nil {
		return nil, err
	}
	size, err := logSize(ctx, conn)
	if err != nil {
		return nil, err
	}
	// The log outlives the sweep: after a signal it still takes in what was committed.
	streaming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	n, err := newNotary(cfg, log, o.Now, nil)
	if err != nil {
		return nil, err
	}
	s := &stream{cfg: cfg, log: log, now: o.Now, instance: self, outage: newOutage(log, o.Now), notary: n}
	written, ended, err := startStream(streaming, ctx, s)
	if err != nil {
		return nil, err
	}
	if err := register(ctx, conn, set, cat, o.Source); err != nil {
		return nil, err
	}
	if err := rememberColumns(ctx, conn, cat, false); err != nil {
		return nil, err
	}
	busy, err := takeAll(ctx, conn, log, p, self)
	if err != nil {
		return nil, err
	}
	if o.Category != "" {
		m = nil // others are nobody's concern now
	}
	refused, err := refuseMisfits(ctx, conn, set, m, o.Actor, self)
	if err != nil {
		return nil, err
	}
	beaten, quiet := beating(context.WithoutCancel(ctx), conn, beatEvery)
	outcomes, err := sweep(ctx, written, beaten, cfg, log, p, self, o, busy)
	outcomes = append(refused, outcomes...)
	if err = errors.Join(err, quiet()); err != nil {
		return outcomes, err
	}
	waiting, done := graced(ctx, cfg.ShutdownGrace)
	defer done()
	err = await(waiting, conn, cfg, outcomes, ended)
	found := lookBack(waiting, conn, size, outcomes, o.Warn)
	if err != nil {
		return outcomes, errors.Join(err, found)
	}
	noted := n.conclude(waiting, s, o.Warn)
	stop()
	return outcomes, errors.Join(<-ended, found, noted, m.off(set))
}

// narrow keeps one category of the plan, and compares its hash. One that does
// not fit is refused with every reason.
func narrow(p *plan.Plan, m misfits, o SweepOptions) error {
	if o.Category == "" {
		return nil
	}
	if m[o.Category] != nil {
		return errors.Join(misfit(m[o.Category]).Unwrap()...)
	}
	for _, c := range p.Categories() {
		if c.Policy.Name == o.Category {
			if o.PlanHash != "" && o.PlanHash != c.Hash {
				return ErrPlanChanged
			}
			p.Levels = [][]*plan.Category{{c}}
			return nil
		}
	}
	return &SetupError{fmt.Sprintf("no enabled category is called %q", o.Category), "see: sweeper lint -o json"}
}

// register tells the database which policies are about to run, and what their
// relations are called: the log must know that of a partition that is gone by
// the time its last changes are decoded.
func register(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog, source string) error {
	former, err := formerRelations(ctx, conn, set, cat)
	if err != nil {
		return err
	}
	list, err := governed(set, cat, former)
	if err != nil {
		return err
	}
	files, err := json.Marshal(sources(set))
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`select sweeper.govern($1::jsonb, $2::bytea)`, string(list), set.SHA256[:])
	b.Queue(`insert into sweeper.policy_versions (policy_sha256, files, loaded_from) values ($1, $2::jsonb, $3) on conflict do nothing`, set.SHA256[:], string(files), source)
	for _, name := range byName(plan.Published(set, "")) {
		t := cat.Tables[name]
		if t == nil {
			continue // its category does not fit
		}
		note(b, t.OID, t.Text, t.Text, t.Key())
		for _, l := range t.Leaves {
			note(b, l.OID, l.Text, t.Text, l.IdentityColumns)
		}
	}
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return pg.Wrap("register the policies", err)
	}
	// Again, of the holds that were placed under the former policies since: from
	// now on apply_hold refuses them.
	return keepsHolds(ctx, conn, set, cat)
}

// note remembers a relation, with a key: one that has lost it keeps the key that
// its last changes were written with.
func note(b *pgx.Batch, oid uint32, leaf, root string, key []string) {
	if len(key) > 0 {
		b.Queue(relationSQL, oid, leaf, root, key)
	}
}

const relationSQL = `
	insert into sweeper.relations as r (relid, relation, root, key_columns) values ($1, $2, $3, $4)
	on conflict (relid) do update set relation = excluded.relation, root = excluded.root, key_columns = excluded.key_columns, seen_at = now()
	 where (r.relation, r.root, r.key_columns) is distinct from (excluded.relation, excluded.root, excluded.key_columns)`

func sources(set policy.Set) map[string]string {
	files := map[string]string{}
	for _, f := range set.Files {
		files[f.Path] = string(f.Source)
	}
	return files
}

// startStream reads the slot, or stands by while another process does, until ctx
// ends; its end comes through the channel. It returns when the log is being
// written, and written ends when it no longer is: no evidence, no deletion.
func startStream(ctx, starting context.Context, s *stream) (written context.Context, end <-chan error, err error) {
	written, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	ready := make(chan struct{})
	s.ready = ready
	go func() {
		err := s.run(ctx)
		stop(err)
		ended <- err
	}()
	select {
	case <-ready:
		return written, ended, nil
	case err := <-ended:
		return nil, nil, err
	case <-starting.Done():
		return nil, nil, context.Cause(starting)
	}
}

// takeAll takes the categories of a plan, and ends the runs that others left
// behind in them. busy are those that another process runs, and why they cannot
// run here. They are conn's until it is closed.
func takeAll(ctx context.Context, conn *pgx.Conn, log *slog.Logger, p *plan.Plan, self instance) (busy map[string]error, err error) {
	busy = map[string]error{}
	for _, c := range p.Categories() {
		name := c.Policy.Name
		mine, err := takeCategory(ctx, conn, log, name)
		switch {
		case err != nil:
			return nil, err
		case !mine:
			busy[name] = fmt.Errorf("%w: %s", purge.ErrBusy, pg.LockHolder(ctx, conn, pg.CategoryLock(name)))
		default:
			if err := endLeft(ctx, conn, name, self); err != nil {
				return nil, err
			}
		}
	}
	return busy, nil
}

// sweep runs the plan with connections of its own. When ctx ends, the batches
// in flight have the grace; with written, without which nothing is proved, and
// with beaten, that shows that the categories are still ours, they are cut off.
func sweep(ctx, written, beaten context.Context, cfg Config, log *slog.Logger, p *plan.Plan, self instance, o SweepOptions, busy map[string]error) ([]purge.Outcome, error) {
	pool, err := pg.Pool(ctx, cfg.DatabaseURL.Reveal(), self.purger(), 2*cfg.Workers+3, cfg.witnessed)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	graceful, done := graced(ctx, cfg.ShutdownGrace)
	defer done()
	hard, cut := context.WithCancelCause(graceful)
	defer cut(nil)
	defer context.AfterFunc(written, func() {
		cut(fmt.Errorf("the purge log is not written any more, so nothing is purged: %w", context.Cause(written)))
	})()
	defer context.AfterFunc(beaten, func() { cut(errors.Join(errCut, context.Cause(beaten))) })()
	defer context.AfterFunc(ctx, func() {
		log.InfoContext(ctx, "sweeper is asked to end", slog.Duration("grace", cfg.ShutdownGrace))
	})()
	options := cfg.purging(log, self, o.Now)
	options.Reason, options.Actor, options.Progress, options.Stop = manualReason, o.Actor, o.Progress, ctx
	options.Claim = func(category string) error { return busy[category] }
	return purge.Run(hard, pool, p, options), nil
}

// purging are the options of every run of a process.
func (c Config) purging(log *slog.Logger, self instance, now func() time.Time) purge.Options {
	return purge.Options{
		BatchRows: c.BatchRows, BatchTarget: c.BatchTarget, Workers: c.Workers, RowsPerSecond: c.RowsPerSecond,
		LockTimeout: c.LockTimeout, StatementTimeout: c.StatementTimeout, AutoApprove: c.Approve == ApproveAuto,
		MaxReplicaLag: c.MaxReplicaLag, MaxSlotLag: int64(c.MaxSlotLag), Slot: c.Slot,
		Instance: string(self), Log: log, Now: now, Holder: stepHolder(log), Shortened: newFormers(c).shortened,
	}
}

// logWait bounds how long a sweep waits for the log after its last commit,
// while the log does not move.
const logWait = time.Minute

// await returns when the summary of every run stands in sweeper.purges, which the
// log writes when it has everything that the run purged, and when the log has its
// vacuums, which come behind that.
func await(ctx context.Context, conn *pgx.Conn, cfg Config, outcomes []purge.Outcome, stream <-chan error) error {
	ids := runIDs(outcomes)
	var last string
	idle := time.NewTimer(logWait)
	defer idle.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var missing int
		var applied string
		err := conn.QueryRow(ctx, `
			select (select count(*) from unnest($1::uuid[]) r
			         where exists (select from sweeper.batches b where b.run_id = r and b.fact = 'run_end')
			           and not exists (select from sweeper.purges p where p.run_id = r))
			       + greatest((select count(*) from sweeper.batches where run_id = any($1) and fact = 'vacuum')
			                - (select count(*) from sweeper.purge_log where run_id = any($1) and kind = 'vacuum'), 0),
			       (select coalesce(max(applied_lsn)::text, '') from sweeper.log_progress where slot = $2)`, ids, cfg.Slot).Scan(&missing, &applied)
		if err != nil {
			return pg.Wrap("wait for the purge log", err)
		}
		if missing == 0 {
			return nil
		}
		if applied != last {
			last = applied
			idle.Reset(logWait)
		}
		select {
		case <-ctx.Done():
			return errors.New("wait for the purge log: the grace is over; what is missing comes with the next process that reads the slot")
		case err := <-stream:
			return fmt.Errorf("wait for the purge log: its stream has ended: %w", cmp.Or(err, errStreamEnded))
		case <-idle.C:
			return fmt.Errorf("wait for the purge log: it has not moved for %s and %d runs are not in it yet; look at: sweeper status", logWait, missing)
		case <-tick.C:
		}
	}
}

func runIDs(outcomes []purge.Outcome) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(outcomes))
	for _, o := range outcomes {
		ids = append(ids, o.RunID)
	}
	return ids
}

var errStreamEnded = errors.New("run sweeper sweep again, which reads the slot from where the log stands")
