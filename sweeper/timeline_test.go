package sweeper_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// promote has a server go on with its own data as a promoted standby does: with
// another timeline.
func (w *watched) promote(t *testing.T, s *pgserver.Server) {
	t.Helper()
	data := w.text(t, `select current_setting('data_directory')`)
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stat, ok := owner.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(signal, int(stat.Uid), int(stat.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.admin = connect(t, serverURL(s)(""))
	w.exec(t, `select pg_promote()`)
	pgtest.Eventually(t, "the server is promoted", func() bool { return w.text(t, `select not pg_is_in_recovery()`) == "true" })
}

const timelines = `select string_agg(reference, '; ' order by seq) from sweeper.purge_log where kind = 'coverage' and relation is null`

var gone = regexp.MustCompile(`^the server has gone over from timeline 1 to timeline 2, which begins at LSN [0-9A-F]+/[0-9A-F]+$`)

// TestTimeline has the server promoted under the slot: the log says so, once, and
// goes on without a gap where the slot came along, and with one where it did not.
func TestTimeline(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"with the slot": false, "without the slot": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Server(t, pgserver.Options{Durable: true})
			w := unwatched(t, serverURL(s), "sweeper")
			w.exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i`)
			if err := w.sweep(t); err != nil {
				t.Fatal(err)
			}
			w.promote(t, s)
			w.exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i; delete from app.events where id = 1`)
			if lost {
				w.exec(t, `select pg_drop_replication_slot('sweeper')`)
				w.install(t)
			}
			for range 2 {
				if err := w.sweep(t); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.text(t, timelines); !gone.MatchString(got) {
				t.Errorf("of the timeline the log says %q", got)
			}
			want := "delete 10; delete 1; delete 9"
			if lost {
				want = "delete 10; gap; delete 9"
			}
			if got := w.text(t, `select string_agg(concat_ws(' ', kind, row_count), '; ' order by seq) from sweeper.purge_log where kind in ('delete', 'gap', 'mismatch')`); got != want {
				t.Errorf("the log has %s, want %s", got, want)
			}
			w.whole(t)
		})
	}
}

// TestTimelineUnderTheDaemon has the server promoted while the daemon runs.
func TestTimelineUnderTheDaemon(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Durable: true})
	w := watch(t, serverURL(s), "sweeper")
	w.promote(t, s)
	pgtest.Eventually(t, "the log says so", func() bool { return gone.MatchString(w.text(t, timelines)) })
	w.green(t)
	w.fill(t)
	w.gone(t)
	if got := w.text(t, `select count(*) from sweeper.purge_log where kind = 'gap'`); got != "0" {
		t.Errorf("%s gaps", got)
	}
	if log := w.log.String(); strings.Contains(log, "panic") {
		t.Error(log)
	}
	w.whole(t)
}
