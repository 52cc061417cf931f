package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// LogRetention is how long the purge log is kept: seven years or longer.
type LogRetention struct{ policy.Period }

// EnvDecode reads a period. Shorter than seven years from any start is refused.
func (r *LogRetention) EnvDecode(text string) error {
	p, err := policy.ParsePeriod(text)
	if err != nil {
		return invalid("must be a period such as P7Y or P10Y")
	}
	months, days := 12*p.Years+p.Months, 7*p.Weeks+p.Days
	// The longest months have 31 days, the longest years 366, any seven at most 2557.
	if short := max(0, 84-months); days < min(31*(short%12)+366*(short/12), 2557) {
		return invalid("is shorter than 7 years, for which the purge log is kept at least; write P7Y or longer")
	}
	r.Period = p
	return nil
}

// PruneRequest is what somebody wants pruned from the log by hand.
type PruneRequest struct {
	Before        *time.Time // months from here on stay; nil: all go that are older than SWEEPER_LOG_RETENTION
	Actor, Reason string
	Progress      func(done, total int64)
	Waiting       func() // hears, once, that another process writes the log
	Now           func() time.Time
}

// Pruned is what went.
type Pruned struct {
	Entries int64     `json:"entries"` // 0: nothing is old enough
	Until   time.Time `json:"until"`   // the first instant that stays
}

// pruneWaits is how long a prune by hand waits for the writer's place in the log.
const pruneWaits = 15 * time.Second

// PruneLog verifies what is older than SWEEPER_LOG_RETENTION and prunes it, as
// the log's writer: with its keys, and after a look at its anchors. While a
// daemon is that, there is no place for another, and the daemon prunes by itself.
func PruneLog(ctx context.Context, cfg Config, log *slog.Logger, r PruneRequest) (Pruned, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return Pruned{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	by := cfg.pruning(r.Actor, r.Reason)
	by.Before, by.Progress = r.Before, r.Progress
	if r.Before != nil {
		var allowed bool
		err := conn.QueryRow(ctx, `select $1::timestamptz + $2::text::interval <= now()`, r.Before, by.Retention).Scan(&allowed)
		if err != nil {
			return Pruned{}, pg.Wrap("compare with SWEEPER_LOG_RETENTION", err)
		}
		if !allowed {
			return Pruned{}, &SetupError{
				fmt.Sprintf("what was logged before %s is not all older than SWEEPER_LOG_RETENTION (%s)", r.Before.UTC().Format(time.DateOnly), by.Label), "name an earlier date",
			}
		}
	}
	c, err := purgelog.Prunable(ctx, conn, by)
	if err != nil || c == nil {
		return Pruned{}, err
	}
	n, err := newNotary(cfg, log, r.Now, nil)
	if err != nil {
		return Pruned{}, err
	}
	writer, err := cfg.writeLog(ctx, log, n, r.Waiting)
	if err != nil {
		return Pruned{}, err
	}
	defer writer.Close(context.WithoutCancel(ctx))
	return Pruned{c.Entries, c.Until}, writer.Prune(ctx, c)
}

func (c Config) pruning(actor, reason string) purgelog.Pruning {
	return purgelog.Pruning{Retention: c.LogRetention.Interval(), Label: c.LogRetention.String(), Actor: actor, Reason: reason}
}

// writeLog takes the log's one writer's place, when the log continues what is
// anchored, and waits for it a while.
func (c Config) writeLog(ctx context.Context, log *slog.Logger, n *notary, waiting func()) (*purgelog.Log, error) {
	i := newInstance()
	conn, _, err := c.logger(ctx, i)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	slot, systemID, err := c.evidence(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := n.begin(ctx, conn); err != nil {
		return nil, err
	}
	for waited := time.Duration(0); ; waited += takeOver {
		writer, err := purgelog.Open(ctx, c.logOptions(systemID, uint64(slot.Confirmed), log, i))
		if !errors.Is(err, purgelog.ErrBusy) {
			return writer, err
		}
		if waited >= pruneWaits {
			return nil, fmt.Errorf("%w; a daemon prunes by itself, within a day, what is older than SWEEPER_LOG_RETENTION: leave it to that, or end it first", err)
		}
		if waited == 0 && waiting != nil {
			waiting()
		}
		if err := sleep(ctx, takeOver); err != nil {
			return nil, err
		}
	}
}

// prunes hands months that may go to the stream, which writes the log.
type prunes struct {
	next atomic.Pointer[purgelog.Candidate]
}

// apply prunes what was handed over. A failure leaves the log as it was; the
// next day tries again.
func (p *prunes) apply(ctx context.Context, log *slog.Logger, writer *purgelog.Log) {
	if p == nil {
		return
	}
	c := p.next.Swap(nil)
	if c == nil {
		return
	}
	if err := writer.Prune(ctx, c); err != nil {
		log.WarnContext(ctx, "the purge log could not be pruned", slog.Any(KeyErr, err))
		return
	}
	log.InfoContext(ctx, "the purge log is pruned", slog.Int64("entries", c.Entries), slog.Time("until", c.Until))
}

// houseEvery is how often a daemon looks what of sweeper's own is over.
const houseEvery = 24 * time.Hour

// houseAgain is after how long it is looked once more, when it was not all done
// or another process writes the log.
const houseAgain = time.Hour

// keepHouse tidies sweeper's own tables and has old months of the log pruned,
// soon after the start and then once a day.
func (d *daemon) keepHouse(ctx context.Context, s *stream) error {
	for pause := d.house; ; {
		if err := sleep(ctx, pause); err != nil {
			return nil
		}
		pause = houseEvery
		if err := d.cfg.tidy(ctx, d.instance, d.log); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "old rows of schema sweeper stay for now", slog.Any(KeyErr, err))
			pause = houseAgain
		}
		if !s.reading.Load() {
			pause = houseAgain
			continue
		}
		c, err := d.cfg.prunable(ctx, d.instance)
		if err != nil && ctx.Err() == nil {
			d.log.ErrorContext(ctx, "the purge log is not pruned", slog.Any(KeyErr, err))
		}
		s.prunes.next.Store(c)
	}
}

// tidy has the database forget what is over.
func (c Config) tidy(ctx context.Context, i instance, log *slog.Logger) error {
	conn, _, err := c.purger(ctx, i)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `select what, rows from sweeper.tidy()`)
	if err != nil {
		return pg.Wrap("tidy schema sweeper", err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		var n int64
		if err := rows.Scan(&what, &n); err != nil {
			return pg.Wrap("tidy schema sweeper", err)
		}
		if n > 0 {
			log.InfoContext(ctx, "tidied", slog.String("what", what), slog.Int64(KeyRows, n))
		}
	}
	return pg.Wrap("tidy schema sweeper", rows.Err())
}

// prunable looks for months of the log that may go, on a connection of its own:
// what has to be verified may take long.
func (c Config) prunable(ctx context.Context, i instance) (*purgelog.Candidate, error) {
	conn, _, err := c.logger(ctx, i)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	by := c.pruning("sweeper run", "older than SWEEPER_LOG_RETENTION")
	by.Workers = 1 // nobody waits for it
	return purgelog.Prunable(ctx, conn, by)
}
