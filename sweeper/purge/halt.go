package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// halt is the pause that a run is in: all of its steps wait for the same, so that
// there is one, whoever of them sees it first.
type halt struct {
	mu    sync.Mutex // guards what follows
	pause *Pause     // nil: none
	since time.Time
	dead  time.Time // since when too many rows are dead, whatever else there was meanwhile; zero: they are not
	row   int64     // of run_waits: others that help with the run have their own; 0: it could not be written

	vacuums  bool          // a VACUUM of ours is under way
	vacuumed time.Time     // when the last one ended
	vain     chan struct{} // closed when the run has given up on a VACUUM, once and for all of its steps and passes
}

// halted tells why no batch may begin now; nil: one may. What has changed since a
// step last asked is written down, by one step after the other, so that none goes
// back to what it saw before.
func (s *stepper) halted(ctx context.Context) *Pause {
	s.halt.mu.Lock()
	defer s.halt.mu.Unlock()
	p := s.pause()
	if was := s.halt.pause; was != nil && (p == nil || p.Cause != was.Cause) {
		s.goesOn(ctx, s.conn)
	}
	switch {
	case p == nil:
		s.halt.dead = time.Time{}
	case p.Cause == DeadRows && s.halt.dead.IsZero():
		s.halt.dead = s.Now()
	}
	if p != nil && s.halt.pause == nil {
		s.waits(ctx, p)
	}
	return p
}

// waits notes a pause. Its caller has the halt.
func (s *stepper) waits(ctx context.Context, p *Pause) {
	s.halt.pause, s.halt.since, s.halt.row = p, s.Now(), 0
	if p.Cause == unseen {
		return
	}
	if s.Waits != nil {
		s.Waits(s.category.Policy.Name, p.Cause)
	}
	s.Log.WarnContext(ctx, "purging waits", slog.String("step", s.step.Name()), slog.String("cause", p.Cause), slog.String("why", p.Why))
	err := s.conn.QueryRow(ctx, `insert into sweeper.run_waits (run_id, cause, why) values ($1, $2, $3) returning wait_id`, s.id, p.Cause, p.Why).Scan(&s.halt.row)
	if err != nil {
		s.Log.WarnContext(ctx, "pause not recorded", slog.Any("err", pg.Wrap("record a pause", err)))
	}
}

// noteTimeout bounds the note of a pause's end, which a stop does not cut off.
const noteTimeout = 2 * time.Second

// execer is a connection or a pool.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// goesOn notes the end of a pause. Its caller has the halt.
func (r *run) goesOn(ctx context.Context, by execer) {
	cause, took := r.halt.pause.Cause, r.Now().Sub(r.halt.since)
	r.halt.pause = nil
	if cause == unseen {
		return
	}
	if r.Waited != nil {
		r.Waited(r.category.Policy.Name, cause, took)
	}
	r.Log.InfoContext(ctx, "purging waits no longer", slog.String("policy", r.category.Policy.Name), slog.String("cause", cause), slog.Duration("waited", took))
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if _, err := by.Exec(bounded, `update sweeper.run_waits set ended_at = clock_timestamp() where wait_id = $1`, r.halt.row); err != nil {
		r.Log.WarnContext(ctx, "end of a pause not recorded", slog.Any("err", pg.Wrap("record the end of a pause", err)))
	}
}

// leaves ends the pause of a run in which no step waits any more: they have left it
// as it was.
func (r *run) leaves(ctx context.Context, by execer) {
	r.halt.mu.Lock()
	defer r.halt.mu.Unlock()
	if r.halt.pause != nil {
		r.goesOn(ctx, by)
	}
}

const (
	// mostDead is how long a run waits for a VACUUM that it may not do itself.
	mostDead = 10 * time.Minute
	// mostUnseen is how long a run waits for its first look at others: until the
	// connections are free again that other categories count by, but not for ever
	// without a word in the table of runs.
	mostUnseen = 10 * time.Minute
)

// blind fails a run that could not see in all that time whether others suffer.
func (r *run) blind() error {
	r.halt.mu.Lock()
	defer r.halt.mu.Unlock()
	if p := r.halt.pause; p != nil && p.Cause == unseen && r.Now().Sub(r.halt.since) >= mostUnseen {
		return fmt.Errorf("whether others suffer was not to be seen for %s: %s", mostUnseen, p.Why)
	}
	return nil
}

// errVain is a run that goes no further because no VACUUM came.
var errVain = errors.New("no VACUUM came")

// vacuums notes that a VACUUM of ours is under way, or has ended.
func (r *run) vacuums(now bool) {
	r.halt.mu.Lock()
	defer r.halt.mu.Unlock()
	r.halt.vacuums, r.halt.vacuumed = now, r.Now()
}

// lastVacuum is when the last one ended.
func (r *run) lastVacuum() time.Time {
	r.halt.mu.Lock()
	defer r.halt.mu.Unlock()
	return r.halt.vacuumed
}

// inVain is the end of the patience with a VACUUM that does not come, and tells the
// one step that finds it why. What the table has too much of it has for all steps,
// so the run goes no further. While one of ours is at it, however long it takes,
// nobody waits in vain.
func (r *run) inVain() (why string) {
	r.halt.mu.Lock()
	defer r.halt.mu.Unlock()
	p := r.halt.pause
	if r.gaveUp() || p == nil || p.Cause != DeadRows || r.halt.vacuums || r.Now().Sub(later(r.halt.dead, r.halt.vacuumed)) < mostDead {
		return ""
	}
	close(r.halt.vain)
	return fmt.Sprintf("no VACUUM came for %s: %s", mostDead, p.Why)
}

// gaveUp tells whether the run has given up on a VACUUM.
func (r *run) gaveUp() bool {
	select {
	case <-r.halt.vain:
		return true
	default:
		return false
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
