package sweeper

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

const (
	watchEvery      = 5 * time.Second        // while all is well
	watchAgain      = time.Second            // while something is not, or seems so
	watchFirst      = 200 * time.Millisecond // until all is well for the first time
	watchTimeout    = 4 * time.Second        // of one look
	categoriesEvery = 30 * time.Second
	settled         = 4 * time.Second              // what lasts this long is no passing state
	passing         = 3 * time.Second              // the same, of what was purged and is not in the log
	silence         = 2*idleEvery + 30*time.Second // in which even an idle log moves, if the WAL does
	mostSamples     = 2 * int(silence/watchAgain)  // of the WAL's end, kept for the lag
)

// monitor looks at the evidence again and again. It reads as the logging role,
// which alone can see whether the log's writer moves.
type monitor struct {
	cfg         Config
	log         *slog.Logger
	now         func() time.Time
	application string
	health      *Health
	daemon      bool // whether it may have the slot given up
	conn        *pgx.Conn
	memory      memory
	motion      motion
	counted     time.Time       // when the categories were read
	over        since           // the slot's limit
	mismatches  int64           // at the last look
	missing     bool            // a publication, at the last look
	failing     map[string]bool // names of the checks that were failing; true: with a reason of their own, which was told
	healthy     bool            // all was well once
}

// since is the moment from which on something was so.
type since struct{ at time.Time }

// holds notes whether it is so now, and tells for how long it has been.
func (s *since) holds(now time.Time, so bool) time.Duration {
	switch {
	case !so:
		s.at = time.Time{}
		return 0
	case s.at.IsZero():
		s.at = now
	}
	return now.Sub(s.at)
}

// monitor keeps the health up to date until ctx ends.
func (d *daemon) monitor(ctx context.Context) error {
	m := &monitor{cfg: d.cfg, log: d.log, now: d.now, application: d.instance.logger(), health: d.health, daemon: true}
	return m.run(ctx)
}

// run looks until ctx ends.
func (m *monitor) run(ctx context.Context) error {
	defer m.disconnect()
	m.health.begin(m.now)
	began := m.now()
	for {
		m.tell(ctx, m.look(ctx))
		pause := watchAgain
		switch {
		case m.healthy && len(m.failing) == 0 && !m.motion.doubtful():
			pause = watchEvery
		case !m.healthy && m.now().Sub(began) < 10*time.Second:
			pause = watchFirst
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.health.looks.asked():
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (m *monitor) disconnect() {
	if m.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.conn.Close(ctx)
	m.conn = nil
}

// look looks once and makes the report known.
func (m *monitor) look(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	defer m.health.looks.begins()()
	r := m.check(ctx)
	m.health.saw(r)
	return r
}

// check reads and judges.
func (m *monitor) check(ctx context.Context) (r Report) {
	r.At = m.now()
	if err := m.connect(ctx); err != nil {
		m.motion.lost()
		r.Checks = unknown(safeText(err))
		return r
	}
	f, err := readServer(ctx, m.conn, m.cfg, m.application)
	if err != nil {
		defer m.disconnect()
		m.motion.lost()
		r.Checks = unknown(safeText(err))
		return r
	}
	l, err := readLog(ctx, m.conn, m.cfg)
	if m.conn.IsClosed() {
		m.conn = nil
	}
	now := m.now()
	r.At = now
	r.Facts = Facts{Slot: m.cfg.Slot, Source: f.SystemID + "/" + m.cfg.Slot, ServerTime: f.Clock, SlotRetained: f.Retained, ReaderPID: f.ReaderPID, Leader: f.Leader}
	add := func(name, detail string) { r.Checks = append(r.Checks, Check{name, detail == "", detail}) }
	add(checkDatabase, "")
	if err != nil {
		m.motion.lost()
		r.Checks = append(r.Checks, unread(f, l, m.cfg, err)...)
		return r
	}
	add(checkSchema, judgeSchema(l))
	add(checkClock, judgeClock(f, l, now))
	add(checkSlot, judgeSlot(f, l, m.cfg))
	add(checkPublications, judgePublications(f))
	add(checkLog, m.judgeLog(f, l, now, &r.Facts))
	add(checkChain, m.memory.judgeChain(l, f.Timeline))
	if m.missing && f.Missing == nil && f.Leader {
		m.health.unpublished.Store(true)
	}
	m.missing = f.Missing != nil
	add(checkMismatches, judgeMismatches(f, l))
	r.Facts.Mismatches, r.Facts.Gaps = l.Mismatches, l.Gaps
	m.alarm(ctx, l)
	m.limit(ctx, f, now)
	m.categories(ctx, &r, now)
	return r
}

// unread are the checks after the server answered and the log could not be
// read: the schema is to blame, or whoever holds a lock on the log.
func unread(f serverFacts, l logFacts, cfg Config, err error) []Check {
	schema, log := "", safeText(err)
	if pg.Classify(err) == pg.Setup {
		schema, log = safeText(err)+"; run: sweeper install", "unknown: schema sweeper is not as it should be"
	}
	slot, publications := judgeSlot(f, l, cfg), judgePublications(f)
	return []Check{
		{checkSchema, schema == "", schema},
		{checkClock, true, ""},
		{checkSlot, slot == "", slot},
		{checkPublications, publications == "", publications},
		{checkLog, false, log},
		{checkChain, false, "unknown: the purge log cannot be read"},
		{checkMismatches, false, "unknown: the purge log cannot be read"},
	}
}

func judgePublications(f serverFacts) string {
	if f.Missing == nil {
		return ""
	}
	return fmt.Sprintf("publication %s does not exist; run: sweeper install", *f.Missing)
}

func (m *monitor) connect(ctx context.Context) error {
	if m.conn != nil && !m.conn.IsClosed() {
		return nil
	}
	conn, err := pg.Connect(ctx, m.cfg.ReplicationURL.Reveal(), m.application, func(cfg *pgx.ConnConfig) {
		cfg.RuntimeParams["statement_timeout"], cfg.RuntimeParams["lock_timeout"] = "3500", "2000"
	})
	if err != nil {
		return err
	}
	m.conn = conn
	return nil
}

// judgeLog tells whether the log is the slot's, and moves.
func (m *monitor) judgeLog(f serverFacts, l logFacts, now time.Time, facts *Facts) string {
	if l.Size != nil {
		facts.Entries = *l.Size
	}
	switch {
	case l.Size == nil && l.Count == 0:
		return "the purge log has not begun; the daemon begins it once it reads the slot"
	case l.Applied == nil:
		return "the purge log holds nothing of slot " + m.cfg.Slot + ": it belongs to another slot or server"
	case *l.SystemID != f.SystemID:
		return "the purge log belongs to another server than this one"
	}
	facts.Applied = *l.Applied
	done := max(*l.Applied, m.health.seen.Load())
	stalled := m.motion.judge(f, l, done, now)
	facts.LagBytes, facts.LagSeconds = m.motion.lag(f.Insert, done, now)
	if why := m.health.unwritten.Load(); why != nil {
		return *why
	}
	switch {
	case f.Exists && f.Confirmed > *l.Applied:
		return fmt.Sprintf("slot %s is ahead of the purge log: what was committed in between was never logged, and whoever reads the slot next says so in the log", m.cfg.Slot)
	case f.Exists && m.motion.unread.holds(now, f.ReaderPID == 0) >= settled:
		return "nobody reads slot " + m.cfg.Slot
	}
	return stalled
}

// alarm writes one line when the log has got mismatches.
func (m *monitor) alarm(ctx context.Context, l logFacts) {
	if l.Mismatches > m.mismatches {
		m.log.ErrorContext(ctx, "the purge log has mismatches", slog.Int64("entries", l.Mismatches), slog.Time("last_at", *l.LastMismatch))
	}
	m.mismatches = l.Mismatches
}

// limit has the slot given up when it holds back too much WAL: by the stream,
// which says so in the log first; by ourselves when the stream cannot. The
// application's disk comes first.
func (m *monitor) limit(ctx context.Context, f serverFacts, now time.Time) {
	over := f.Exists && f.Usable && f.WALStatus != "lost" && tooMuch(m.cfg, f.Retained)
	if !m.daemon {
		return
	}
	m.health.giveUp.Store(over)
	if m.over.holds(now, over) < 2*settled {
		return
	}
	err := wal.DropSlot(ctx, m.conn, m.cfg.Slot, m.application)
	m.log.ErrorContext(ctx, "slot given up without an entry in the purge log, which cannot be written",
		slog.String(KeySlot, m.cfg.Slot), slog.Int64("bytes", f.Retained), slog.Any(KeyErr, err))
}

// categories reads how the categories stand, now and then.
func (m *monitor) categories(ctx context.Context, r *Report, now time.Time) {
	if !m.counted.IsZero() && now.Sub(m.counted) < categoriesEvery {
		return
	}
	all, err := readCategories(ctx, m.conn)
	if err != nil {
		m.log.WarnContext(ctx, "the categories cannot be read", slog.Any(KeyErr, err))
		return
	}
	m.counted, r.Categories = now, all
}

// tell writes one line when purging has to stop, or for another reason than
// before, and one when it may go on.
func (m *monitor) tell(ctx context.Context, r Report) {
	failing := map[string]bool{}
	var why []string
	for _, c := range r.Checks {
		if c.stops() {
			failing[c.Name] = c.Why != unseen
			why = append(why, c.Name+": "+c.Why)
		}
	}
	before := m.failing
	m.failing = failing
	first := !m.healthy
	m.healthy = m.healthy || len(failing) == 0
	news := slices.ContainsFunc(keys(failing), func(name string) bool { return failing[name] && !before[name] })
	switch {
	case ctx.Err() != nil, first && !m.healthy: // starting: the probes say it
	case len(failing) > 0 && news:
		m.log.ErrorContext(ctx, "purging is paused", slog.String("why", strings.Join(why, "; ")))
	case len(failing) == 0 && len(before) > 0 && !first:
		m.log.InfoContext(ctx, "purging goes on")
	}
}

func keys(set map[string]bool) []string {
	var all []string
	for k := range set {
		all = append(all, k)
	}
	return all
}
