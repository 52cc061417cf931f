package sweeper_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestNoConnectionIsFree has the server refuse connections: to the runs of a
// daemon that has one, and to all of it. It waits, says so once a minute, and
// goes on when connections are free again.
func TestNoConnectionIsFree(t *testing.T) {
	t.Parallel()
	// Roles are those of a whole server.
	s := pgtest.Server(t, pgserver.Options{})
	w := watch(t, serverURL(s), "sweeper")
	const (
		ends = `select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'sweeper_daemon' `
		one  = `and pid not in (select pid from pg_stat_activity where usename = 'sweeper_daemon' order by backend_start limit 1)`
		why  = `too many connections for role "sweeper_daemon"`
	)
	for name, c := range map[string]struct{ limit, ends string }{"for its runs": {"1", ends + one}, "at all": {"0", ends}} {
		w.exec(t, `alter role sweeper_daemon connection limit `+c.limit)
		w.exec(t, c.ends)
		w.fill(t)
		w.red(t, "database", why)
		if got := w.text(t, `select count(*) from app.events`); got != "10" {
			t.Errorf("%s: %s rows of 10 are left", name, got)
		}
		w.exec(t, `alter role sweeper_daemon connection limit -1`)
		w.green(t)
		w.gone(t)
	}
	w.whole(t)
	log := w.log.String()
	if waits, back := strings.Count(log, "waiting for the database"), strings.Count(log, "database is back"); waits != 2 || back != 2 {
		t.Errorf("two outages are told %d times, their ends %d times:\n%s", waits, back, log)
	}
}

// TestConnectionsOfManyRuns counts the connections of a daemon that has more
// categories due than workers, and is asked to read its policies meanwhile.
func TestConnectionsOfManyRuns(t *testing.T) {
	t.Parallel()
	const workers, categories = 3, 7
	ddl, policies := "create schema app;", "version: 1\ncategories:\n"
	for i := range categories {
		ddl += fmt.Sprintf("create table app.t%d (id int primary key, at timestamptz); create index on app.t%[1]d (at); insert into app.t%[1]d select i, '2010-01-01'::timestamptz + i * interval '1 hour' from generate_series(1, 5000) i;", i)
		policies += fmt.Sprintf("  c%d: {table: app.t%[1]d, start_from: at, delete: {after: P5Y}}\n", i)
	}
	b := daemon(t, ddl, policies, "SWEEPER_BATCH_ROWS=100", fmt.Sprint("SWEEPER_WORKERS=", workers))
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", fmt.Sprintf(`select count(*) = %d from sweeper.schedules`, categories))
	b.due(t, "true")
	most := sessions{}
	pgtest.Eventually(t, "all is purged", func() bool {
		select {
		case d.reload <- struct{}{}:
		default:
		}
		most.look(t, b.admin)
		return b.text(t, fmt.Sprintf(`select count(*) = %d from sweeper.runs where state = 'succeeded' and deleted = 5000`, categories)) == "true"
	})
	purgers, loggers := most["sweeper_daemon"].most, most["sweeper_logger"].most
	t.Logf("at most %d and %d", purgers, loggers)
	if purgers > 2*workers+2 || loggers > 6 {
		t.Errorf("%d and %d connections", purgers, loggers)
	}
	if purgers < workers+1 {
		t.Errorf("%d connections: the runs were not beside each other, the test shows nothing", purgers)
	}
	b.checkLog(t)
}

// sessions are those of a role that were open at once, at most.
type sessions map[string]struct {
	most  int
	since map[int32]time.Time
}

// look counts those that have been there for a while: a session that was closed is
// seen until the server has ended it.
func (s sessions) look(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, role := range []string{"sweeper_daemon", "sweeper_logger"} {
		pids := pgtest.QueryOne[[]int32](t, conn, `select coalesce(array_agg(pid), '{}') from pg_stat_activity where datname = current_database() and usename = $1`, role)
		one, now, n := s[role], time.Now(), 0
		since := map[int32]time.Time{}
		for _, pid := range pids {
			if since[pid] = one.since[pid]; since[pid].IsZero() {
				since[pid] = now
			}
			if now.Sub(since[pid]) >= 500*time.Millisecond {
				n++
			}
		}
		one.most, one.since = max(one.most, n), since
		s[role] = one
	}
}
