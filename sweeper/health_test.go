package sweeper_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// The time within which an unhealthy condition is told, and within which the
// end of it is.
const tellWithin = 20 * time.Second

// watched is a daemon with its probes, over a database of its own.
type watched struct {
	admin *pgx.Conn
	cfg   sweeper.Config
	set   policy.Set
	slot  string
	url   string
	log   *buffer
	ahead atomic.Int64 // nanoseconds by which the daemon's clock goes wrong
}

func (w *watched) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

const eventsEachHour = "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}, schedule: {every: 1h}}\n"

// watch installs into the database at url and starts a daemon.
func watch(t *testing.T, url func(user string) string, slot string, env ...string) *watched {
	t.Helper()
	w := unwatched(t, url, slot, env...)
	w.start(t)
	return w
}

// unwatched installs into the database at url, and starts nothing.
func unwatched(t *testing.T, url func(user string) string, slot string, env ...string) *watched {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	write(t, path, eventsEachHour)
	addr := freeAddr(t)
	w := &watched{slot: slot, url: "http://" + addr, set: load(t, eventsEachHour), log: &buffer{}, admin: connect(t, url(""))}
	w.exec(t, events)
	cfg, _, err := sweeper.Load(append([]string{
		"SWEEPER_DATABASE_URL=" + url("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + url("sweeper_logger"), "SWEEPER_INSTALL_URL=" + url(""),
		"SWEEPER_SLOT=" + slot, "SWEEPER_HMAC_KEY=" + key, "SWEEPER_APPROVE=auto", "SWEEPER_POLICIES=" + path, "SWEEPER_HTTP_ADDR=" + addr,
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = cfg
	w.install(t)
	return w
}

// start starts the daemon, and waits until it has purged a few rows.
func (w *watched) start(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	began := time.Now()
	go func() { ended <- sweeper.Run(ctx, w.cfg, log, sweeper.RunOptions{Now: w.now}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", w.log)
		}
	})
	w.green(t)
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	w.fill(t)
	w.gone(t)
}

// sweep sweeps once, without a daemon.
func (w *watched) sweep(t *testing.T) error {
	t.Helper()
	_, err := sweeper.Sweep(t.Context(), w.cfg, slog.New(slog.DiscardHandler), w.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	return err
}

// serverURL is DB.URL of a server that the test has for itself.
func serverURL(s *pgserver.Server) func(user string) string {
	return func(user string) string { return s.URL("postgres", cmp.Or(user, pgserver.Superuser)) }
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (w *watched) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := w.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
}

func (w *watched) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	return pgtest.QueryOne[string](t, w.admin, "select coalesce(("+sql+")::text, '')", args...)
}

func (w *watched) install(t *testing.T) {
	t.Helper()
	if _, err := sweeper.Install(t.Context(), w.cfg, slog.New(slog.DiscardHandler), w.set, false); err != nil {
		t.Fatalf("install: %v", err)
	}
}

// fill makes ten rows that are due, and a sweep of them.
func (w *watched) fill(t *testing.T) {
	t.Helper()
	w.exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i`)
	w.exec(t, `update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 second'`)
}

// gone waits until the daemon has purged them and the log has it.
func (w *watched) gone(t *testing.T) {
	t.Helper()
	pgtest.Eventually(t, "the rows are purged", func() bool {
		return w.text(t, `select count(*) = 0 and not exists (select from sweeper.runs r where not exists (select from sweeper.purges p where p.run_id = r.run_id)) from app.events`) == "true"
	})
}

// get is the answer of one page.
func (w *watched) get(t *testing.T, path string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error() // not listening yet
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// red waits until the check fails for that reason, and looks whether all pages
// say so while /livez stays green.
func (w *watched) red(t *testing.T, check, reason string) {
	t.Helper()
	began := time.Now()
	var body string
	pgtest.Eventually(t, fmt.Sprintf("%s fails: %s", check, reason), func() bool {
		var code int
		code, body = w.get(t, "/readyz?verbose")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "[-]"+check+" failed: ") && strings.Contains(line, reason) {
				return code == http.StatusServiceUnavailable
			}
		}
		return false
	})
	took := time.Since(began)
	t.Logf("%s red after %s: %s", check, took.Round(100*time.Millisecond), strings.ReplaceAll(body, "\n", " | "))
	if took > tellWithin {
		t.Errorf("it took %s until %s was told", took, check)
	}
	if code, body := w.get(t, "/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d %s", code, body)
	}
	for path, want := range map[string]string{"/metrics": fmt.Sprintf("sweeper_health{check=%q} 0\n", check), "/": "Purging is paused."} {
		if _, body := w.get(t, path); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q:\n%s", path, want, body)
		}
	}
	if _, body := w.get(t, "/metrics"); !strings.Contains(body, "sweeper_purging_allowed 0\n") {
		t.Error("/metrics does not say that purging is paused")
	}
}

// green waits until all is well.
func (w *watched) green(t *testing.T) {
	t.Helper()
	began := time.Now()
	pgtest.Eventually(t, "all is well", func() bool {
		code, _ := w.get(t, "/readyz")
		return code == http.StatusOK
	})
	took := time.Since(began)
	t.Logf("green after %s", took.Round(100*time.Millisecond))
	if took > tellWithin {
		t.Errorf("it took %s until all was well", took)
	}
	if _, body := w.get(t, "/metrics"); strings.Contains(body, "sweeper_health{check=\"log\"} 0") || !strings.Contains(body, "sweeper_purging_allowed 1\n") {
		t.Errorf("/metrics differs:\n%s", body)
	}
}

// paused looks whether rows that fall due now stay. A daemon looks at its
// schedules every 3 s.
func (w *watched) paused(t *testing.T) {
	t.Helper()
	w.fill(t)
	until := time.Now().Add(4 * time.Second)
	pgtest.Eventually(t, "the daemon has looked at its schedules", func() bool { return time.Now().After(until) })
	if left := w.text(t, `select count(*) from app.events`); left != "10" {
		t.Errorf("%s rows of 10 are left although purging is paused", left)
	}
}

// status looks whether the verb of that name finds the same.
func (w *watched) status(t *testing.T, reason string) {
	t.Helper()
	_, l, err := sweeper.Status(t.Context(), w.cfg, w.now())
	if said := fmt.Sprint(l.Unhealthy, err); !strings.Contains(said, reason) {
		t.Errorf("status says %s, want %q", said, reason)
	}
}

func (w *watched) whole(t *testing.T) {
	t.Helper()
	pgtest.CheckLog(t, w.admin)
}

// dropSlot drops the slot as somebody else would, whoever reads it.
func (w *watched) dropSlot(t *testing.T) {
	t.Helper()
	pgtest.Eventually(t, "the slot is dropped", func() bool {
		_, err := w.admin.Exec(t.Context(), `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active`, w.slot)
		if err == nil {
			_, err = w.admin.Exec(t.Context(), `select pg_drop_replication_slot($1)`, w.slot)
		}
		return err == nil
	})
}

// tamper changes the purge log behind its guards.
func (w *watched) tamper(t *testing.T, sql string) {
	t.Helper()
	leaf := w.text(t, `select tableoid::regclass from sweeper.purge_log order by seq desc limit 1`)
	w.exec(t, `alter table `+leaf+` disable trigger all; `+sql+`; alter table `+leaf+` enable always trigger refuse_change, enable always trigger refuse_truncate`)
}

// TestHealth breaks the evidence in every way, and mends it.
func TestHealth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt, mendIt func(t *testing.T, w *watched)
		check, reason   string
		byStatus        bool // whether a single look can tell
	}{
		"slot dropped": {
			func(t *testing.T, w *watched) { w.dropSlot(t) },
			func(t *testing.T, w *watched) { w.install(t) },
			"slot", "does not exist; run: sweeper install", true,
		},
		"publication dropped": {
			func(t *testing.T, w *watched) { w.exec(t, `drop publication sweeper_redact`) },
			func(t *testing.T, w *watched) { w.install(t) },
			"publications", "publication sweeper_redact does not exist", true,
		},
		"head tampered with": {
			func(t *testing.T, w *watched) {
				w.exec(t, `create table app.head as select * from sweeper.log_head; update sweeper.log_head set root = sha256('x')`)
			},
			func(t *testing.T, w *watched) {
				w.exec(t, `update sweeper.log_head h set root = o.root from app.head o`)
			},
			"chain", "log_head.root", true,
		},
		"last entry tampered with": {
			func(t *testing.T, w *watched) {
				w.tamper(t, `update sweeper.purge_log set row_count = row_count + 1 where seq = (select max(seq) from sweeper.purge_log)`)
			},
			func(t *testing.T, w *watched) {
				w.tamper(t, `update sweeper.purge_log set row_count = row_count - 1 where seq = (select max(seq) from sweeper.purge_log)`)
			},
			"chain", "differs from its leaf_hash", true,
		},
		"log rewritten": { // consistently: only the memory of the daemon tells
			func(t *testing.T, w *watched) {
				w.tamper(t, `
					create table app.entry as select * from sweeper.purge_log order by seq desc limit 1;
					create table app.head as select * from sweeper.log_head;
					delete from sweeper.purge_log where seq = (select seq from app.entry)`)
			},
			func(t *testing.T, w *watched) {
				w.tamper(t, `insert into sweeper.purge_log select * from app.entry`)
			},
			"chain", "log_head counts", true,
		},
		"log refuses entries": {
			func(t *testing.T, w *watched) {
				w.exec(t, `alter table sweeper.purge_log add constraint nothing check (kind <> 'delete') not valid;
					insert into app.events values (4711, now(), 'u'); delete from app.events where id = 4711`)
			},
			func(t *testing.T, w *watched) {
				w.exec(t, `alter table sweeper.purge_log drop constraint nothing`)
			},
			"log", "append to the purge log: refused by the server on constraint", false,
		},
		"log locked": {
			func(t *testing.T, w *watched) { w.exec(t, `begin; lock table sweeper.purge_log`) },
			func(t *testing.T, w *watched) { w.exec(t, `rollback`) },
			"log", "lock timeout", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			w := watch(t, db.URL, db.Slot())
			c.breakIt(t, w)
			w.red(t, c.check, c.reason)
			if c.byStatus {
				w.status(t, c.reason)
			}
			w.paused(t)
			c.mendIt(t, w)
			w.green(t)
			w.gone(t)
			w.whole(t)
		})
	}
}

// TestLogStandsStill has the log's writer wait for a lock that the monitor does
// not need: only what was purged and is not in the log shows it.
func TestLogStandsStill(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot())
	other := connect(t, db.URL(""))
	if _, err := other.Exec(t.Context(), `begin; lock table sweeper.log_head in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	w.fill(t)
	pgtest.Eventually(t, "the batch before the alarm is committed", func() bool { return w.text(t, `select count(*) from app.events`) == "0" })
	w.red(t, "log", "is not moving")
	w.paused(t)
	if _, err := other.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	w.green(t)
	w.gone(t)
	w.whole(t)
}

// TestDatabaseDown crashes the server and starts it again.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Durable: true})
	w := watch(t, serverURL(s), "sweeper")
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	w.red(t, "database", "connect")
	w.status(t, "connect")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.green(t)
	w.admin = connect(t, serverURL(s)(""))
	w.fill(t)
	w.gone(t)
	w.whole(t)
}

// TestMismatchIsAnAlarm has a run do more than it reports: the daemon says so,
// and purges on.
func TestMismatchIsAnAlarm(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot())
	if _, body := w.get(t, "/metrics"); !strings.Contains(body, "sweeper_log_mismatches 0\n") {
		t.Errorf("/metrics before:\n%s", body)
	}
	w.exec(t, `create function app.more() returns trigger language plpgsql security definer as $$ begin
			delete from app.events where id = (select min(id) from app.events); return null; end $$;
		create trigger more after delete on app.events for each statement when (pg_trigger_depth() = 0) execute function app.more();
		insert into app.events values (0, now(), 'young')`)
	w.fill(t)
	w.gone(t)
	w.exec(t, `drop trigger more on app.events`)
	pgtest.Eventually(t, "the alarm is told", func() bool {
		code, body := w.get(t, "/readyz?verbose")
		return code == http.StatusOK && strings.Contains(body, "[-]mismatches failed: the purge log has 2 mismatch entries, the last of ")
	})
	if _, body := w.get(t, "/metrics"); !strings.Contains(body, "sweeper_log_mismatches 2\n") || !strings.Contains(body, "sweeper_log_gaps 0\n") || !strings.Contains(body, `sweeper_health{check="mismatches"} 0`) {
		t.Errorf("/metrics:\n%s", body)
	}
	if !strings.Contains(w.log.String(), "the purge log has mismatches") {
		t.Error("the daemon has not logged it")
	}
	w.fill(t)
	w.gone(t)
	w.whole(t)
}
