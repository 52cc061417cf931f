package sweeper_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// noticeWithin is how soon a dead peer is noticed, on either side.
const noticeWithin = 30 * time.Second

// link is a TCP relay that can go silent: it then takes in whatever comes and
// hands nothing on, as a network does that forgot its connections. The one
// thing it still does is to close what the other end has closed.
type link struct {
	address string
	silent  atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]bool
}

func relay(t *testing.T, server string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: listener.Addr().String(), open: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			l.mu.Lock()
			l.open[client], l.open[backend] = true, true
			l.mu.Unlock()
			dead := &atomic.Bool{} // what was lost does not come again
			all.Go(func() { l.pass(client, backend, dead) })
			all.Go(func() { l.pass(backend, client, dead) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.mu.Lock()
		for c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		all.Wait()
	})
	return l
}

func (l *link) pass(from, to net.Conn, dead *atomic.Bool) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		l.mu.Lock()
		delete(l.open, from)
		l.mu.Unlock()
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if l.silent.Load() {
			dead.Store(true)
		}
		if dead.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestSilentNetwork has the network fall silent while a batch is in flight. The
// daemon notices, and the server gives the batch's locks back, though the
// statement itself may take minutes.
func TestSilentNetwork(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	address := fmt.Sprintf("%s:%d", db.Conn(t, "").Config().Host, db.Conn(t, "").Config().Port)
	l := relay(t, address)
	w := watch(t, func(user string) string {
		if user == "" {
			return db.URL(user) // the test's own
		}
		return strings.Replace(db.URL(user), address, l.address, 1)
	}, db.Slot(), "SWEEPER_STATEMENT_TIMEOUT=5m")
	w.exec(t, `create function app.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(240); return old; end $$;
		create trigger slow before delete on app.events for each row execute function app.slow()`)
	w.fill(t)
	const holding = `select count(*) from pg_locks join pg_stat_activity a using (pid)
		where a.datname = current_database() and a.usename = 'sweeper_daemon' and locktype = 'advisory'`
	pgtest.Eventually(t, "a batch is in flight", func() bool {
		return w.text(t, `select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`) == "true"
	})
	l.silent.Store(true)
	began := time.Now()
	w.red(t, "database", "no answer in time")
	pgtest.Eventually(t, "the locks are free", func() bool { return w.text(t, holding) == "0" })
	took := time.Since(began)
	t.Logf("locks free after %s", took.Round(100*time.Millisecond))
	if took > noticeWithin {
		t.Errorf("the locks were free after %s", took)
	}
	w.exec(t, `drop trigger slow on app.events`)
	l.silent.Store(false)
	w.green(t)
	w.gone(t)
	w.whole(t)
}

// TestConnections counts the connections of a daemon at work.
func TestConnections(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot(), "SWEEPER_WORKERS=3", "SWEEPER_BATCH_ROWS=100")
	w.exec(t, `insert into app.events select i, '2010-01-01'::timestamptz + i * interval '1 minute', 'u' from generate_series(100, 20000) i`)
	w.fill(t)
	most := sessions{}
	pgtest.Eventually(t, "the rows are purged", func() bool {
		most.look(t, w.admin)
		return w.text(t, `select count(*) from app.events`) == "0"
	})
	if purgers, loggers := most["sweeper_daemon"].most, most["sweeper_logger"].most; purgers > 2*3+2 || loggers > 6 {
		t.Errorf("%d and %d connections", purgers, loggers)
	}
	if got := w.text(t, `select string_agg(distinct application_name, ', ') from pg_stat_activity where datname = current_database() and usename like 'sweeper%' and application_name !~ '^sweeper/[0-9a-f]{8}( log)?$'`); got != "" {
		t.Errorf("connections called %s", got)
	}
}
